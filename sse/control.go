package sse

import (
	"encoding/json"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// Open returns the data of a push.open, the first event of a stream of this
// library's servers; ok is false for any other event.
func (e *Event) Open() (data wire.OpenData, ok bool) {
	ok = e.control(wire.Open, &data)
	return data, ok
}

// Gap returns the data of a push.gap: events after From up to To may be gone
// for this client, which may want to load its state anew. ok is false for any
// other event.
func (e *Event) Gap() (data wire.GapData, ok bool) {
	ok = e.control(wire.Gap, &data)
	return data, ok
}

// Close returns why the server is about to end the stream; ok is false for any
// event but push.close.
func (e *Event) Close() (why *push.CloseError, ok bool) {
	var data wire.CloseData
	if !e.control(wire.Close, &data) {
		return nil, false
	}
	return &push.CloseError{Code: data.Code, Reason: data.Reason, Retry: time.Duration(data.Retry) * time.Millisecond}, true
}

// control reads the data of a control event, as it is or in its envelope.
func (e *Event) control(name string, data any) bool {
	if e.Name != name {
		return false
	}
	var env wire.Envelope
	if json.Unmarshal(e.Data, &env) == nil && env.Event == name {
		return json.Unmarshal(env.Data, data) == nil
	}
	return json.Unmarshal(e.Data, data) == nil
}
