package sse

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse/internal/respond"
)

// ErrNoFlush is wrapped by the error of Serve if a wrapper around the
// http.ResponseWriter hides its Flush method; the text names the wrapper's
// type. Nothing has been written then.
var ErrNoFlush = respond.ErrNoFlush

// Options configures Serve and Refuse. A nil *Options is the zero Options.
type Options struct {
	// Format is the form of the stream. Optional. Default FormatRaw.
	Format Format

	// Retry is the reconnection time that clients are told, give or take a
	// quarter at random, so that they do not all come back at once; not told
	// in FormatNDJSON. Optional. Default 2 s.
	Retry time.Duration

	// WriteTimeout ends a stream whose client takes nothing for so long: it
	// must take up to 64 KiB in this time, or in three quarters of it. It
	// replaces the WriteTimeout of the http.Server. Optional. Default 30 s.
	WriteTimeout time.Duration
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Retry <= 0 {
		opts.Retry = 2 * time.Second
	}
	if opts.WriteTimeout <= 0 {
		opts.WriteTimeout = 30 * time.Second
	}
	return opts
}

// Serve streams sub as the response to r until the client leaves, r's context
// ends or the hub ends the stream. It blocks meanwhile, and does not close sub.
// To HEAD it answers with the headers only.
//
// It returns why the stream ended: the cause of r's context if the client left
// (context.Canceled), a *push.CloseError that the client was told as
// push.close, an error that wraps os.ErrDeadlineExceeded if the client did not
// read, an error that wraps ErrNoFlush before anything was written, or the
// writer's own; nil only for HEAD.
func Serve(w http.ResponseWriter, r *http.Request, sub *push.Subscription, opts *Options) error {
	o := opts.withDefaults()
	if r.Method == http.MethodHead {
		respond.Head(w.Header(), o.Format.ContentType())
		w.WriteHeader(http.StatusOK)
		return nil
	}
	s, err := respond.Start(w, r, respond.Config{ContentType: o.Format.ContentType(), Timeout: o.WriteTimeout})
	if err != nil {
		return err
	}
	defer s.Close()
	if o.Format != FormatNDJSON {
		if err := s.Buffer(appendRetry(nil, jitter(o.Retry))); err != nil {
			return err
		}
	}
	err = wire.Pump(r.Context(), sub, o.Format, s.Send)
	if ended := r.Context().Err(); ended != nil && errors.Is(err, ended) {
		return context.Cause(r.Context())
	}
	return err
}

// jitter returns d give or take up to a quarter.
func jitter(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2+1)
}

// Cursor returns the cursor with which a client wants to go on: that of the
// Last-Event-ID header, else of the query's after or last_event_id; "" if it
// has none. It is not checked; see push.AfterCursor.
func Cursor(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	if r.URL.RawQuery == "" {
		return ""
	}
	q := r.URL.Query()
	if id := q.Get("after"); id != "" {
		return id
	}
	return q.Get("last_event_id")
}
