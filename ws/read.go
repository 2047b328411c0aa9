package ws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push"
)

// retryBusy is when a client comes back that was told that it is too much.
const retryBusy = time.Second

// badRate and badBurst bound the messages that are no actions, or too many.
const badRate, badBurst = 1, 10

var (
	errPanic   = &push.CloseError{Code: closeInternal, Reason: "internal error", Retry: retryBusy}
	errNotUTF8 = &push.CloseError{Code: push.CloseInvalidData, Reason: "a text message that is not UTF-8"}
	errBinary  = &push.CloseError{Code: push.ClosePolicy, Reason: "push.v1 has text messages only; binary data goes in base64"}
	errBad     = &push.CloseError{Code: push.ClosePolicy, Reason: "too many messages that are refused"}
)

// read reads messages until the connection ends. A *push.CloseError is how the
// server is to end it; anything else is how the client did.
func (s *session) read() (err error) {
	err = errPanic // also if Actions calls runtime.Goexit
	defer func() { s.readEnded(err) }()
	defer func() {
		if v := recover(); v != nil {
			s.opts.Logger.Error("ws: panic", "panic", v, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	for {
		if err := s.message(); err != nil {
			return err
		}
	}
}

// message reads one message and does what it says.
func (s *session) message() error {
	kind, data, err := s.ws.Read(context.Background())
	switch {
	case err != nil:
		return s.conn.explain(err)
	case s.conn.closed.Load():
		return nil // too late
	}
	s.conn.mark = s.conn.raw - int64(s.conn.br.Buffered())
	if kind == websocket.MessageText && !utf8.Valid(data) {
		return errNotUTF8
	}
	if s.plain {
		return s.publish(kind, data)
	}
	return s.act(kind, data)
}

// explain says how reading ended: with a fault of the client's, with its close
// frame or with a broken connection.
func (c *conn) explain(err error) error {
	switch {
	case c.fault != nil:
		return c.fault
	case websocket.CloseStatus(err) != -1:
		return err
	case c.lost != nil:
		return c.lost
	case errors.Is(err, websocket.ErrMessageTooBig):
		return &push.CloseError{Code: push.CloseTooBig, Reason: fmt.Sprintf("a message of more than %d bytes", c.opts.MaxMessage)}
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) { // what was wrong, without who says so
		err = inner
	}
	return &push.CloseError{Code: closeProtocol, Reason: cut(err.Error(), 120)}
}

// act carries out an action of push.v1. Its error ends the connection.
func (s *session) act(kind websocket.MessageType, data []byte) error {
	if kind != websocket.MessageText {
		return errBinary
	}
	a, err := ParseAction(data)
	switch {
	case err != nil:
		return s.bad(a.Ref, &Problem{Status: http.StatusBadRequest, Detail: err.Error()})
	case !s.messages.take(s.conn.now()):
		return s.bad(a.Ref, &Problem{Status: http.StatusTooManyRequests, Detail: s.tooMany()})
	}
	result, err := s.do(a)
	if end, ok := errors.AsType[*push.CloseError](err); ok {
		return end
	}
	s.answer(a, result, err)
	return nil
}

func (s *session) do(a *Action) (any, error) {
	if s.opts.Actions == nil {
		return nil, &Problem{Status: http.StatusForbidden, Detail: "this stream takes no messages"}
	}
	return s.opts.Actions.Do(s.ctx, a)
}

func (s *session) tooMany() string {
	return "more than " + strconv.FormatFloat(s.opts.Rate, 'g', 4, 64) + " messages a second"
}

// bad answers a message that was not carried out, while there are few such.
func (s *session) bad(ref string, p *Problem) error {
	if !s.refusals.take(s.conn.now()) {
		return errBad
	}
	s.refuse(ref, p)
	return nil
}

// publish carries out a message of plain mode. Its error ends the connection.
func (s *session) publish(kind websocket.MessageType, data []byte) error {
	if !s.messages.take(s.conn.now()) {
		return (&Problem{Status: http.StatusTooManyRequests, Detail: s.tooMany()}).closeError()
	}
	a := &Action{Kind: Publish, Plain: true, Event: push.Event{Data: data, ContentType: contentType(kind, data)}}
	_, err := s.do(a)
	if err == nil {
		return nil
	}
	if end, ok := errors.AsType[*push.CloseError](err); ok {
		return end
	}
	return s.problem(a.Kind, err).closeError()
}

func contentType(kind websocket.MessageType, data []byte) string {
	switch {
	case kind == websocket.MessageBinary:
		return "application/octet-stream"
	case json.Valid(data):
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}
