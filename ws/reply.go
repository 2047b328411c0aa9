package ws

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// Problem is an error that the client is told of, with the members of RFC 9457
// section 3.1.
type Problem struct {
	Title  string `json:"title"`  // "" is the text of Status
	Status int    `json:"status"` // an HTTP status, 400 to 599
	Detail string `json:"detail,omitempty"`
}

func (p *Problem) Error() string { return "ws: " + p.text() }

func (p *Problem) text() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.title()
}

func (p *Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	return http.StatusText(p.Status)
}

// closeError is how a problem is told where there are no replies.
func (p *Problem) closeError() *push.CloseError {
	if p.Status >= 500 || p.Status == http.StatusTooManyRequests {
		return &push.CloseError{Code: push.CloseOverload, Reason: p.text(), Retry: retryBusy}
	}
	return &push.CloseError{Code: push.ClosePolicy, Reason: p.text()}
}

// problem returns what the client is told of an error of Actions, and logs
// what it is not.
func (s *session) problem(kind Kind, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if s.ctx.Err() == nil { // else it may have failed since its client is gone
		s.opts.Logger.Error("ws: an action failed", "action", kind, "error", err)
	}
	return &Problem{Status: http.StatusInternalServerError, Detail: "the server failed; its log says why"}
}

// answer replies with the outcome of an action.
func (s *session) answer(a *Action, result any, err error) {
	data := []byte("{}")
	if err == nil && result != nil {
		data, err = json.Marshal(result)
	}
	if err != nil {
		s.refuse(a.Ref, s.problem(a.Kind, err))
		return
	}
	s.reply(a.Ref, data)
}

func (s *session) refuse(ref string, p *Problem) {
	told := struct {
		Problem Problem `json:"problem"`
	}{*p}
	told.Problem.Title = p.title()
	data, _ := json.Marshal(told) // strings and a number always encode
	s.reply(ref, data)
}

// reply writes a push.reply. It is written by the reading goroutine, so that
// who does not read replies is not read from either.
func (s *session) reply(ref string, data []byte) {
	_ = s.conn.write(appendFrame(nil, finText, func(dst []byte) []byte { return appendReply(dst, ref, data) })) // reading fails, too
}

func appendReply(dst []byte, ref string, data []byte) []byte {
	dst = append(dst, `{"event":"`+wire.Reply+`"`...)
	if ref != "" {
		dst = append(dst, `,"ref":`...)
		dst = wire.AppendString(dst, ref)
	}
	dst = append(dst, `,"data":`...)
	return append(append(dst, data...), '}')
}
