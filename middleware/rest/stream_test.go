package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/dualpush-go/dualpush/sse"
)

// eventSource is an open SSE stream.
type eventSource struct {
	*http.Response
	t      testing.TB
	dec    *sse.Decoder
	cancel context.CancelFunc
	cid    string // from push.open
}

// follow opens an SSE stream and reads its push.open.
func (s *site) follow(path string, headers ...string) *eventSource {
	s.t.Helper()
	es := s.open(path, headers...)
	var data struct{ Connection string }
	es.expect("push.open", &data)
	es.cid = data.Connection
	return es
}

// open opens an SSE stream.
func (s *site) open(path string, headers ...string) *eventSource {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	res, err := s.Client().Do(s.request(ctx, http.MethodGet, path, "", append([]string{"Accept: text/event-stream"}, headers...)...))
	if err != nil {
		cancel()
		s.t.Fatalf("GET %s: %v", path, err)
	}
	es := &eventSource{Response: res, t: s.t, dec: sse.NewDecoder(res.Body, 0), cancel: cancel}
	s.t.Cleanup(es.close)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("GET %s: %s, type %q", path, res.Status, res.Header.Get("Content-Type"))
	}
	return es
}

func (es *eventSource) close() {
	es.cancel()
	_ = es.Body.Close()
}

// next returns the next event; its data is the caller's.
func (es *eventSource) next() sse.Event {
	es.t.Helper()
	e, err := es.dec.Next()
	if err != nil {
		es.t.Fatalf("reading the stream: %v", err)
	}
	e.Data = append([]byte(nil), e.Data...)
	return e
}

// expect reads an event by its name and, if into is not nil, its data.
func (es *eventSource) expect(name string, into any) sse.Event {
	es.t.Helper()
	e := es.next()
	if e.Name != name {
		es.t.Fatalf("event %s %s, want a %s", e.Name, e.Data, name)
	}
	if into != nil {
		if err := json.Unmarshal(e.Data, into); err != nil {
			es.t.Fatalf("%s: %v in %s", name, err, e.Data)
		}
	}
	return e
}

// messages reads messages and checks their data.
func (es *eventSource) messages(want ...string) (last sse.Event) {
	es.t.Helper()
	for _, w := range want {
		if last = es.expect("message", nil); string(last.Data) != w {
			es.t.Fatalf("message %s, want %s", last.Data, w)
		}
	}
	return last
}

// ended fails if the stream goes on.
func (es *eventSource) ended() {
	es.t.Helper()
	if e, err := es.dec.Next(); err == nil {
		es.t.Fatalf("the stream goes on with %s %s", e.Name, e.Data)
	}
}

// gapData is the data of push.gap.
type gapData struct {
	From, To, Reason string
	Topics           []string
}

// closeData is the data of push.close.
type closeData struct {
	Code   int
	Reason string
	Retry  int
}
