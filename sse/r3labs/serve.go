package r3labs

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse/internal/respond"
)

// writeTimeout is how long a client may take nothing.
const writeTimeout = 30 * time.Second

// ServeHTTP serves the stream that ?stream= names. Statuses are r3labs': 500
// if there is no such stream, or the response cannot be streamed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("stream")
	if id == "" {
		http.Error(w, "Please specify a stream!", http.StatusInternalServerError)
		return
	}
	st := s.find(id)
	if st == nil {
		http.Error(w, "Stream not found!", http.StatusInternalServerError)
		return
	}
	replay := st.AutoReplay
	start := s.start(r.Context(), st, replay, r.Header.Get("Last-Event-ID"))
	sub, err := s.hub.Subscribe(r.Context(), []string{st.topic}, start, push.WithHeartbeat(s.Heartbeat))
	if err == nil {
		defer sub.Close()
		if !s.join(st, sub) {
			err = removed
		}
	}
	if err == nil {
		defer call(st.OnSubscribe, st.OnUnsubscribe, id, &r3sse.Subscriber{URL: r.URL})()
		defer s.leave(st, sub)
	}
	s.stream(w, r, sub, err, replay)
}

// call calls one callback, and returns a function that calls the other.
func call(now, later func(string, *r3sse.Subscriber), id string, sub *r3sse.Subscriber) func() {
	if now != nil {
		go now(id, sub)
	}
	return func() {
		if later != nil {
			go later(id, sub)
		}
	}
}

// find returns a stream; with AutoStream it is made.
func (s *Server) find(id string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[id]; st != nil || !s.AutoStream {
		return st
	}
	st := s.createLocked(id)
	st.auto = true
	s.parkLocked(st) // until somebody has joined
	return st
}

// stream writes the response. An error of the subscription ends it after its
// head: a status would end a browser's EventSource for good.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, sub *push.Subscription, err error, replay bool) {
	out, e := respond.Start(w, r, respond.Config{
		ContentType: "text/event-stream", Timeout: writeTimeout, Chunked: true, Headers: s.Headers,
	})
	if e != nil {
		http.Error(w, "Streaming unsupported! "+e.Error(), http.StatusInternalServerError)
		return
	}
	defer out.Close()
	if e := out.Flush(); e != nil {
		return
	}
	if err == nil {
		err = s.pump(r.Context(), out, sub, replay)
	}
	var end *push.CloseError
	if errors.As(err, &end) && end.Code == push.CloseForbidden || r.Context().Err() != nil {
		return
	}
	panic(http.ErrAbortHandler) // cut: r3labs' client would not come back after an end
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, scratch); return &b }}

// scratch is how many bytes are gathered before they are written.
const scratch = 64 << 10

// pump writes what sub has until something ends it.
func (s *Server) pump(ctx context.Context, out *respond.Stream, sub *push.Subscription, replay bool) error {
	for {
		b, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if err := s.write(out, &b, replay); err != nil {
			return err
		}
	}
}

func (s *Server) write(out *respond.Stream, b *push.Batch, replay bool) error {
	held := buffers.Get().(*[]byte)
	defer buffers.Put(held)
	buf := (*held)[:0]
	if len(b.Messages) == 0 && b.Gap == nil && b.Controls == nil {
		buf = append(buf, ":\n\n"...)
	}
	for _, c := range b.Controls {
		if text, ok := c.Data.(string); ok && c.Name == controlComment {
			buf = appendComment(buf, text)
		}
	}
	enc := live
	if replay {
		enc = replayed
	}
	for _, m := range b.Messages {
		if s.EventTTL > 0 && time.Since(m.Time) > s.EventTTL {
			continue
		}
		frame := m.Encoded(enc)
		if len(buf) > 0 && len(buf)+len(frame) > scratch {
			if err := out.Send(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		buf = append(buf, frame...)
	}
	if len(buf) == 0 {
		return nil
	}
	return out.Send(buf)
}
