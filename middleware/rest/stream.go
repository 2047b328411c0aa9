package rest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
	"github.com/dualpush-go/dualpush/ws"
)

// stream is a live answer.
type stream struct {
	topics   []string
	single   string // the path's topic, for which plain WebSocket frames are
	from     push.Start
	way      way
	envelope bool
	fixed    bool // bound to its topics: frames cannot change them
}

// retryBusy is when a client comes back to a server that is full or not ready.
const retryBusy = 5 * time.Second

var transports = map[way]string{waySSE: "sse", wayNDJSON: "ndjson", wayWebSocket: "ws"}

// opening is a stream that is ready to begin.
type opening struct {
	stream
	w         http.ResponseWriter
	c         *conn
	handshake *ws.Handshake // of a WebSocket
}

// stream opens a stream, which end has begin.
func (q *request) stream(s stream) error {
	if q.r.Method == http.MethodHead {
		return sse.Serve(q.w, q.r, nil, &sse.Options{Format: s.format()})
	}
	ctx := q.r.Context()
	w, p := streamWriter(q.w, s.way)
	if p != nil {
		return p
	}
	o := &opening{stream: s, w: w}
	var err error
	if s.way == wayWebSocket {
		if o.handshake, err = ws.Check(w, q.r); err != nil {
			return notStarted(err)
		}
	}
	if o.c, err = q.open(ctx, s, transports[s.way]); err != nil {
		return q.refuse(w, s, err)
	}
	q.opening = o
	return nil
}

// begin serves the stream that was opened until it ends.
func (q *request) begin() error {
	o := q.opening
	begun := false
	defer func() {
		if !begun {
			o.c.drop()
		}
	}()
	err := q.give(func() error {
		begun = true
		return q.start(o)
	})
	if err != nil {
		return q.refuse(o.w, o.stream, err)
	}
	return nil
}

// start begins to write the stream, and closes the connection at its end.
func (q *request) start(o *opening) (err error) {
	c := o.c
	ended := func(error) { c.close() }
	started := false
	defer func() {
		if !started {
			c.close()
		}
	}()
	c.opened()
	defer rotate(q.r.Context(), c.sub)()
	if o.handshake != nil {
		perSecond, burst := q.limits.connection()
		err = o.handshake.Start(c.sub, &ws.Options{
			MaxMessage: q.cfg.MaxMessage, Rate: perSecond, Burst: burst, Logger: q.cfg.Logger, Actions: frames{c},
		}, ended)
	} else {
		err = sse.Start(o.w, q.r, c.sub, &sse.Options{Format: o.format()}, ended)
	}
	started = err == nil
	return notStarted(err)
}

// notStarted returns an error that came before the answer began; all others
// only say how a stream ended.
func notStarted(err error) error {
	if refusal, ok := errors.AsType[*ws.HandshakeError](err); ok {
		p := problemf(refusal.Status, "%s", refusal.Reason)
		p.Err = err
		return p
	}
	if errors.Is(err, sse.ErrNoFlush) {
		return err
	}
	return nil
}

func (s *stream) format() sse.Format {
	switch {
	case s.way == wayNDJSON:
		return sse.FormatNDJSON
	case s.envelope:
		return sse.FormatEnvelope
	}
	return sse.FormatRaw
}

// rotate ends a stream shortly before its context's deadline (Echo's
// ContextTimeout sets one), with a word to come back at once, instead of
// having it cut in the middle. It returns what stops this.
func rotate(ctx context.Context, sub *push.Subscription) (stop func()) {
	end, ok := ctx.Deadline()
	if !ok {
		return func() {}
	}
	t := time.AfterFunc(time.Until(end)*9/10, func() {
		sub.Disconnect(&push.CloseError{Code: push.CloseDrain, Reason: "the request's time is up; come back", Retry: time.Millisecond})
	})
	return func() { t.Stop() }
}

// refuse answers a stream that cannot be opened. A native EventSource gives up
// for good at any status but 200, so what is temporary is told in a stream.
func (q *request) refuse(w http.ResponseWriter, s stream, err error) error {
	p := AsProblem(err)
	switch {
	case s.way == wayWebSocket && q.hidden && p.Status == http.StatusUnauthorized: // a page sees close codes only
		_ = q.logged(p)
		why := &push.CloseError{Code: push.CloseUnauthorized, Reason: p.Detail}
		return notStarted(ws.Refuse(w, q.r, why, &ws.Options{Logger: q.cfg.Logger}))
	case !p.Temporary() || s.way == wayWebSocket:
		return p
	}
	why := &push.CloseError{Code: push.CloseOverload, Reason: p.Detail, Retry: cmp.Or(p.retry, retryBusy)}
	if end, ok := errors.AsType[*push.CloseError](err); ok {
		why = end
	} else {
		_ = q.logged(p)
	}
	return notStarted(sse.Refuse(w, q.r, why, &sse.Options{Format: s.format()}))
}
