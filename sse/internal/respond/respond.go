// Package respond writes a stream of bytes to an HTTP response whose handler
// does not return: checked, flushed, and under a deadline that moves along.
package respond

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/dualpush-go/dualpush/push/direct"
)

// ErrNoFlush is wrapped by the error of Start where a ResponseWriter cannot
// stream.
var ErrNoFlush = errors.New("sse: the response cannot be streamed")

// piece is how much is written under one deadline, in bytes.
const piece = 64 << 10

// Stream is a response that is being streamed. One goroutine writes to it.
type Stream struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	flusher  func() error
	ctx      context.Context //nolint:containedctx // the request's; a Stream lives as long
	timeout  time.Duration
	deadline time.Time // of writes; zero while there is none
	fixed    bool      // the writer has no deadlines
	strikes  bool      // the deadline ends a stream that is idle, too
	release  func()
}

// Config says what is streamed.
type Config struct {
	ContentType string
	Timeout     time.Duration // the client takes up to 64 KiB within it, or is cut off
	Chunked     bool          // HTTP/1.1: in chunks, so that a client can tell a cut from an end
	Headers     map[string]string
}

// Head sets the headers of a stream: no cache and no proxy may keep it,
// transform it or wait for more of it.
func Head(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// Start writes the status line and headers, to be sent with the first Send,
// and lifts the server's own deadlines: from here on the client has to take
// what is written within the timeout. Before it writes anything it makes sure
// that w can be flushed; else its error wraps ErrNoFlush. The caller must call
// Close before its handler returns.
func Start(w http.ResponseWriter, r *http.Request, c Config) (*Stream, error) {
	if err := checkFlush(w); err != nil {
		return nil, err
	}
	s := &Stream{
		w: w, rc: http.NewResponseController(w), flusher: flusher(w), ctx: r.Context(), timeout: c.Timeout,
		strikes: r.ProtoMajor >= 2, // the timer of an HTTP/2 stream resets it, writing or not
	}
	_ = s.rc.SetReadDeadline(time.Time{}) // the server's ReadTimeout would end the stream
	s.extend()
	s.watch()
	Head(w.Header(), c.ContentType)
	for name, value := range c.Headers {
		w.Header().Set(name, value)
	}
	if !c.Chunked && r.ProtoMajor == 1 && r.Context().Value(http.ServerContextKey) != nil {
		// Understood by net/http alone: no chunks, the connection ends with
		// the stream. A chunk that is larger than net/http's buffer costs
		// three system calls instead of one.
		w.Header().Set("Transfer-Encoding", "identity")
	}
	w.WriteHeader(http.StatusOK)
	return s, nil
}

// checkFlush asks the innermost writer: some wrappers claim to be a Flusher
// whatever they wrap, and fail only when they are used.
func checkFlush(w http.ResponseWriter) error {
	w = direct.Innermost(w)
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		return nil
	}
	return fmt.Errorf("%w: %T hides http.Flusher; give it a Flush or Unwrap method, or keep the middleware it belongs to away from this route", ErrNoFlush, w)
}

// flusher is what http.ResponseController's Flush finds at every call.
func flusher(w http.ResponseWriter) func() error {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }:
			return t.FlushError
		case http.Flusher:
			return func() error { t.Flush(); return nil }
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default: // not after checkFlush
			return func() error { return http.ErrNotSupported }
		}
	}
}

// watch frees a Write that blocks when the request ends.
func (s *Stream) watch() {
	done := make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		defer close(done)
		_ = s.rc.SetWriteDeadline(time.Unix(1, 0))
	})
	s.release = func() {
		if !stop() {
			<-done // a writer must not be touched after its handler returned
		}
	}
}

// Close ends the use of the response.
func (s *Stream) Close() { s.release() }

// Buffer writes b to go out with what is sent next. It is for a few bytes.
func (s *Stream) Buffer(b []byte) error {
	_, err := s.w.Write(b)
	return err
}

// Send writes b and flushes it. It does not keep b. Its error is the cause of
// the context's end if the client left.
func (s *Stream) Send(b []byte) error {
	for ; len(b) > piece; b = b[piece:] {
		s.extend()
		if _, err := s.w.Write(b[:piece]); err != nil {
			return s.reason(err)
		}
	}
	s.extend()
	if _, err := s.w.Write(b); err != nil {
		return s.reason(err)
	}
	return s.flush()
}

// Flush sends the head and what was buffered.
func (s *Stream) Flush() error {
	s.extend()
	return s.flush()
}

func (s *Stream) flush() error {
	if err := s.flusher(); err != nil {
		return s.reason(err)
	}
	if s.strikes && !s.fixed {
		s.deadline = time.Time{}
		_ = s.rc.SetWriteDeadline(time.Time{})
	}
	return nil
}

// extend moves the deadline once a quarter of it has passed: with every write
// it would cost a busy stream some percent. The clock tells when, and not a
// timer, which could come after the write when the process was stopped for a
// while, and all streams would end.
func (s *Stream) extend() {
	now := time.Now()
	if s.fixed || s.deadline.Sub(now) > s.timeout-s.timeout/4 {
		return
	}
	s.deadline = now.Add(s.timeout)
	s.fixed = errors.Is(s.rc.SetWriteDeadline(s.deadline), http.ErrNotSupported)
	if s.ctx.Err() != nil { // watch was faster
		_ = s.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}

// reason tells a client that is too slow from one that left. net/http ends the
// request's context after every failed write.
func (s *Stream) reason(err error) error {
	switch {
	case !s.deadline.IsZero() && !time.Now().Before(s.deadline): // HTTP/2 has other words for it
		return fmt.Errorf("sse: the client does not read: nothing got through within %v: %w (%w)", s.timeout, os.ErrDeadlineExceeded, err)
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	}
	return err
}
