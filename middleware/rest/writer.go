package rest

import (
	"fmt"
	"net/http"

	"github.com/dualpush-go/dualpush/push/direct"
)

// StreamWriter is what a framework's response writer may be, too: rest asks it
// for the writer of a stream when one begins, so that writers in between,
// which compress, copy or time out, can be passed by.
type StreamWriter interface {
	// StreamWriter returns a writer whose head goes through the framework's
	// own response, once, and whose body goes to the innermost writer.
	StreamWriter() http.ResponseWriter
}

// Innermost walks Unwrap down to the server's own writer.
func Innermost(w http.ResponseWriter) http.ResponseWriter { return direct.Innermost(w) }

// streamWriter returns the writer for a stream, or a problem that names the
// wrapper in whose place no stream can be served.
func streamWriter(w http.ResponseWriter, way way) (http.ResponseWriter, *Problem) {
	inner := Innermost(w)
	if way == wayWebSocket {
		if _, ok := inner.(http.Hijacker); !ok {
			return nil, inTheWay(http.StatusNotImplemented, inner, "http.Hijacker", "a WebSocket")
		}
	} else if _, ok := inner.(http.Flusher); !ok {
		return nil, inTheWay(http.StatusInternalServerError, inner, "http.Flusher", "a stream")
	}
	if s, ok := w.(StreamWriter); ok {
		return s.StreamWriter(), nil
	}
	return inner, nil
}

func inTheWay(status int, inner http.ResponseWriter, missing, what string) *Problem {
	p := problemf(status, "a middleware in front of this mount makes %s impossible; the server's log names it", what)
	if status == http.StatusNotImplemented {
		p.Detail = what + " is not possible over this connection; use text/event-stream"
	}
	hint := "give it an Unwrap method, or take it off this route"
	if fmt.Sprintf("%T", inner) == "*http.timeoutWriter" {
		hint = "it is http.TimeoutHandler or Echo's Timeout middleware: use ContextTimeout, or skip this route"
	}
	p.Err = fmt.Errorf("the response writer %T is no %s: %s", inner, missing, hint)
	return p
}
