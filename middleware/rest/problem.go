package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Problem is an error that goes to the client as application/problem+json
// (RFC 9457), with the members title, status and detail.
type Problem struct {
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail,omitempty"`
	Header http.Header `json:"-"` // goes with the answer; may be nil
	Err    error       `json:"-"` // the cause, for the log only; may be nil

	retry time.Duration // what Retry-After says
}

func problemf(status int, format string, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) with(header, value string) *Problem {
	if p.Header == nil {
		p.Header = http.Header{}
	}
	p.Header.Set(header, value)
	return p
}

func (p *Problem) retryAfter(d time.Duration) *Problem {
	p.retry = max(d+time.Second-1, time.Second).Truncate(time.Second)
	return p.with("Retry-After", strconv.Itoa(int(p.retry/time.Second)))
}

func (p *Problem) Error() string { return fmt.Sprintf("rest: %d %s: %s", p.Status, p.Title, p.Detail) }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Temporary reports whether the same request can succeed later without any
// change: then a live stream is told to come back rather than refused.
func (p *Problem) Temporary() bool {
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests
}

// Write answers with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, p.Header)
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	body, _ := json.Marshal(p) // strings and a number always encode
	_, _ = w.Write(append(body, '\n'))
}

// AsProblem turns any error into what the client is told of it. Errors that
// are not the client's become a 500 without detail.
func AsProblem(err error) *Problem {
	var problem *Problem
	var refused *push.RefusedError
	var end *push.CloseError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &refused):
		problem = problemf(http.StatusUnprocessableEntity, "%s", refused.Reason)
	case errors.Is(err, push.ErrUnprocessable):
		problem = problemf(http.StatusUnprocessableEntity, "%s", err)
	case errors.Is(err, push.ErrInvalid):
		problem = problemf(http.StatusBadRequest, "%s", err)
	case errors.As(err, &tooLong):
		problem = problemf(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", tooLong.Limit)
	case errors.Is(err, push.ErrTooLarge):
		problem = problemf(http.StatusRequestEntityTooLarge, "%s", err)
	case errors.As(err, &end) && end.Code == push.CloseUnauthorized:
		problem = InvalidToken(end.Reason, nil)
	case errors.As(err, &end) && end.Code == push.CloseForbidden:
		problem = problemf(http.StatusForbidden, "%s", end.Reason)
	case errors.As(err, &end):
		problem = problemf(http.StatusServiceUnavailable, "%s", end.Reason).retryAfter(end.Retry)
	case errors.Is(err, push.ErrNotReady), errors.Is(err, push.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		problem = problemf(http.StatusServiceUnavailable, "the server cannot do this right now").retryAfter(time.Second)
	default:
		problem = problemf(http.StatusInternalServerError, "the server failed; its log says why")
	}
	problem.Err = err
	return problem
}

// hubError returns an error of the hub for AsProblem. One that is none of
// package push's own is the broker's: it may be back when the client is.
func hubError(err error) error {
	if p := AsProblem(err); p.Status != http.StatusInternalServerError || errors.Is(err, context.Canceled) {
		return err
	}
	p := problemf(http.StatusServiceUnavailable, "the server cannot reach its log right now").retryAfter(time.Second)
	p.Err = err
	return p
}
