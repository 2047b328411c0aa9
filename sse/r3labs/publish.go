package r3labs

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
)

// The keys under which an event's Meta keeps what the hub has no field for.
const (
	metaID      = "r3labs.id"
	metaName    = "r3labs.event" // a name that the hub keeps for itself
	metaRetry   = "r3labs.retry"
	metaComment = "r3labs.comment"
)

// Publish publishes an event to a stream. It does nothing if the stream does
// not exist, like r3labs', and never waits for subscribers.
func (s *Server) Publish(id string, event *r3sse.Event) { s.TryPublish(id, event) }

// TryPublish is Publish, and reports whether the event was published.
func (s *Server) TryPublish(id string, event *r3sse.Event) bool {
	st := s.get(id)
	if st == nil {
		return false
	}
	e, comment := s.convert(event)
	switch {
	case e != nil:
		e.Topic = st.topic
		if _, err := s.hub.Publish(context.Background(), *e); err != nil {
			s.report(id, err)
			return false
		}
	case comment != "":
		s.notify(st, push.Control{Name: controlComment, Data: comment})
	}
	return true
}

// controlComment hands a comment to the connections of this process.
const controlComment = "push.r3labs.comment"

func (s *Server) notify(st *stream, c push.Control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range st.subs {
		sub.Notify(c)
	}
}

// convert returns an event as the hub knows it, or only a comment, or neither.
func (s *Server) convert(ev *r3sse.Event) (e *push.Event, comment string) {
	data, comment := ev.Data, string(ev.Comment)
	if s.EncodeBase64 {
		data = base64.StdEncoding.AppendEncode(nil, data)
	}
	if text, ok := bytes.CutPrefix(data, []byte{':'}); ok && !s.SplitData {
		data, comment = nil, strings.TrimPrefix(string(text), " ")
	}
	if len(data) == 0 {
		return nil, comment
	}
	e = &push.Event{Data: data, Name: oneLine(ev.Event)}
	if (&push.Event{Topic: "t", Name: e.Name}).Check() != nil {
		setMeta(e, metaName, e.Name)
		e.Name = ""
	}
	if id := oneLine(ev.ID); !strings.Contains(id, "\x00") { // clients ignore those
		setMeta(e, metaID, id)
	}
	setMeta(e, metaRetry, oneLine(ev.Retry))
	setMeta(e, metaComment, comment)
	return e, ""
}

func setMeta(e *push.Event, key, value string) {
	if value == "" {
		return
	}
	if e.Meta == nil {
		e.Meta = map[string]string{}
	}
	e.Meta[key] = value
}

// oneLine returns b up to its first line end: what follows would be another
// field on the wire.
func oneLine(b []byte) string {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
