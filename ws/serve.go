package ws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// ErrGone is wrapped by the error of Serve if it was the client who ended the
// connection, or the network.
var ErrGone = errors.New("ws: the client is gone")

// Close codes of RFC 6455 section 7.4.1 that only this transport has.
const (
	closeProtocol = 1002
	closeInternal = 1011
)

// session is one connection and its subscription.
type session struct {
	opts     Options
	sub      *push.Subscription
	conn     *conn
	ws       *websocket.Conn
	plain    bool
	framer   wire.Framer
	ctx      context.Context
	cancel   context.CancelCauseFunc
	readDone chan struct{} // closed when nothing is read any more
	reading  atomic.Int32  // where the hub writes: notReading, isReading or hasRead

	// Of the reading goroutine:
	messages, refusals bucket
	readErr            error // valid once readDone is closed
}

// Serve answers r by a WebSocket on which it streams sub, and carries out what
// the client sends. It blocks until the connection ends, and does not close
// sub.
//
// IT DOES NOT CHECK THE ORIGIN. Any web page can open a WebSocket to any host,
// with the cookies of its visitor, and no CORS rule holds it back. Whoever
// trusts cookies, an IP address or nothing must compare the Origin header with
// the expected one, byte by byte, before this call. Package rest does.
//
// r's context ends the connection with push.CloseDrain; its values are passed
// on to Actions. w's innermost writer (by Unwrap) must be a http.Hijacker and
// refuse a body after a status of 101, as net/http's does with
// http.ErrBodyNotAllowed, and the wrappers around it must let the 101 through
// at once.
//
// Before the handshake the error is a *HandshakeError, and the caller answers
// the request. Any other error leaves nothing to answer. It says why the
// connection ended: it is a *push.CloseError if the server did that, which the
// client was told if it could be, and wraps ErrGone otherwise.
func Serve(w http.ResponseWriter, r *http.Request, sub *push.Subscription, opts *Options) error {
	s, err := newSession(w, r, sub, opts)
	if err != nil {
		return err
	}
	return s.run(r.Context())
}

// newSession returns one that its handler writes.
func newSession(w http.ResponseWriter, r *http.Request, sub *push.Subscription, opts *Options) (*session, error) {
	h, err := Check(w, r)
	if err != nil {
		return nil, err
	}
	return h.session(sub, opts, false)
}

// session does the handshake.
func (h *Handshake) session(sub *push.Subscription, opts *Options, hubWrites bool) (*session, error) {
	nc, rw, err := h.upgrade()
	if err != nil {
		return nil, err
	}
	s := &session{opts: opts.withDefaults(), sub: sub, conn: h.conn, ws: h.ws, readDone: make(chan struct{}), framer: envelopes{}}
	s.messages = newBucket(s.opts.Rate, s.opts.Burst)
	s.refusals = newBucket(badRate, badBurst)
	s.conn.take(nc, rw, &s.opts, hubWrites)
	s.ws.SetReadLimit(s.opts.MaxMessage)
	if !strings.EqualFold(s.ws.Subprotocol(), protocolEnvelopes) {
		s.plain, s.framer = true, plain{}
	}
	return s, nil
}

func (s *session) run(parent context.Context) error {
	s.begin(parent)
	defer s.release()
	return s.finish(wire.Pump(s.ctx, s.sub, s.framer, s.conn.write))
}

func (s *session) begin(ctx context.Context) {
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if s.conn.direct != nil {
		s.await()
	} else {
		go func() { _ = s.read() }() // readEnded takes its error
	}
	s.conn.startPinging()
}

// finish ends the connection once nothing is streamed any more because of err.
func (s *session) finish(err error) error {
	end, ok := errors.AsType[*push.CloseError](err)
	switch cause := context.Cause(s.ctx); {
	case ok:
	case errors.Is(cause, ErrGone):
		s.answerClose(cause)
		return cause
	case cause != nil:
		end = errDrain
		s.tell(end)
	default:
		return gone(s.conn.fail(err))
	}
	s.conn.writeClose(closeFrame(end.Code, end.Reason))
	s.awaitClient()
	return end
}

var errDrain = &push.CloseError{Code: push.CloseDrain, Reason: "the request's time is up; come back", Retry: time.Second}

// tell writes push.close where Pump could not, as its context had ended.
func (s *session) tell(end *push.CloseError) {
	b, err := s.framer.AppendControl(nil, s.sub.Position(), wire.Close, wire.NewCloseData(end))
	if err == nil && len(b) > 0 {
		_ = s.conn.write(b) // the connection ends in any case
	}
}

func gone(err error) error { return fmt.Errorf("%w: %w", ErrGone, err) }

// readEnded has the writing goroutine end the connection.
func (s *session) readEnded(err error) {
	s.readErr = err
	defer close(s.readDone)
	if end, ok := errors.AsType[*push.CloseError](err); ok {
		s.conn.hurry()
		s.sub.Disconnect(end)
		return
	}
	s.cancel(gone(s.conn.fail(err)))
	if st := s.conn.stream.Load(); st != nil {
		st.Gone(err)
	}
	if websocket.CloseStatus(err) != -1 {
		s.conn.hurry()
	} else {
		_ = s.conn.Conn.Close() // frees a writer that waits for the client
	}
}

// answerClose answers the client's close frame, if it sent one (RFC 6455
// section 5.5.1).
func (s *session) answerClose(cause error) {
	frame, ok := errors.AsType[websocket.CloseError](cause)
	switch {
	case !ok:
	case frame.Code == websocket.StatusNoStatusRcvd:
		s.conn.writeClose(emptyClose)
	case !utf8.ValidString(frame.Reason): // coder does not check
		s.conn.writeClose(closeFrame(push.CloseInvalidData, "a reason that is not UTF-8"))
	default:
		s.conn.writeClose(closeFrame(int(frame.Code), ""))
	}
}

// awaitClient gives the client time to read the close frame and to answer it.
func (s *session) awaitClient() {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-s.readDone:
		if _, fault := errors.AsType[*push.CloseError](s.readErr); fault {
			s.conn.drain() // what it sends is not looked at any more
		}
	case <-t.C:
	}
}

// release ends what is left, in particular the reading goroutine.
func (s *session) release() {
	s.conn.closed.Store(true)
	if s.conn.pinger != nil {
		s.conn.pinger.Stop()
	}
	s.cancel(nil)
	_ = s.conn.Conn.Close()
	if s.conn.direct != nil {
		s.stopAwaiting()
	}
	<-s.readDone
	_ = s.ws.CloseNow()
}
