package sse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// ClientOptions configures a Client. A nil *ClientOptions is the zero one.
type ClientOptions struct {
	// HTTPClient makes the requests. Its Timeout must be 0, which would end
	// every stream. Optional. Default http.DefaultClient.
	HTTPClient *http.Client

	// Header returns headers to add to a request. It is called for each
	// attempt, so that a token can be a fresh one; its error counts as a
	// failed attempt. Optional.
	Header func(ctx context.Context) (http.Header, error)

	// LastEventID is the id after which to start. Optional.
	LastEventID string

	// MaxSize bounds a line and an event's data, in bytes. Optional. Default
	// DefaultMaxSize.
	MaxSize int

	// MaxWait bounds what is waited beyond the server's reconnection time
	// after failed attempts. Optional. Default 30 s.
	MaxWait time.Duration

	// RetryStatus says which statuses are worth another attempt; a proxy in
	// front of a server that restarts answers 502 to 504. Optional. Default:
	// none, as in a browser.
	RetryStatus func(status int) bool

	// OnRetry is called before each wait with the reason why the stream
	// ended, io.EOF if the server just ended it. Optional.
	OnRetry func(err error, wait time.Duration)
}

// Client reads a stream of server-sent events, of any server, the way a
// browser's EventSource does: when the stream ends it connects again, for ever,
// after the time the server asked for, and says where it left off. It is made
// by NewClient; its methods are safe for concurrent use, but one iteration of
// Events runs at a time.
type Client struct {
	url    string
	opts   ClientOptions
	lastID atomic.Pointer[string]
}

// NewClient returns a client of the stream at url. It does not connect yet.
func NewClient(url string, opts *ClientOptions) *Client {
	c := &Client{url: url}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.HTTPClient == nil {
		c.opts.HTTPClient = http.DefaultClient
	}
	if c.opts.MaxWait <= 0 {
		c.opts.MaxWait = 30 * time.Second
	}
	c.lastID.Store(&c.opts.LastEventID)
	return c
}

// LastEventID returns the id with which the client would go on: that of the
// last event that Events handed out, or a later one that the server stated.
func (c *Client) LastEventID() string { return *c.lastID.Load() }

// StatusError says that the server answered with something else than a stream.
type StatusError struct {
	Status      int
	ContentType string
}

func (e *StatusError) Error() string {
	if e.Status == http.StatusOK {
		return fmt.Sprintf("sse: the server answered with %q, not text/event-stream", e.ContentType)
	}
	return fmt.Sprintf("sse: the server answered with status %d %s", e.Status, http.StatusText(e.Status))
}

// Events connects and yields the events of the stream; the caller owns their
// Data. Control events of this library's servers are yielded like any other,
// but for heartbeats; if push.open states their interval, a stream that is
// silent for 1.4 times as long is given up and connected anew.
//
// The iteration ends without an error when the server answers 204. It ends with
// one, the last it yields, that is ctx's when ctx ends, a *StatusError if the
// answer is no stream, a *push.CloseError after a push.close with
// CloseForbidden, ErrTooLong, or one of wrong use. When the loop is left, the
// connection is closed; the next iteration goes on after the last event.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := &session{client: c, yield: yield}
		if err := s.run(ctx); err != nil && !errors.Is(err, errStop) {
			yield(Event{}, err)
		}
	}
}

// errStop ends an iteration without an error.
var errStop = errors.New("sse: stop")

// session is one iteration of Events.
type session struct {
	client *Client
	yield  func(Event, error) bool
	dec    *Decoder
	heard  bool // the last attempt yielded something
	failed int  // attempts in a row that did not
}

// permanent marks an error after which there is no other attempt.
type permanent struct{ error }

func (s *session) run(ctx context.Context) error {
	c := s.client
	if c.opts.HTTPClient.Timeout != 0 {
		return errors.New("sse: the HTTPClient's Timeout would end every stream: set it to 0, and limits on its Transport")
	}
	s.dec = NewDecoder(nil, c.opts.MaxSize)
	s.dec.lastID = c.LastEventID()
	for {
		err := s.attempt(ctx)
		if end, ok := errors.AsType[permanent](err); ok {
			return end.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.failed++
		if s.heard {
			s.failed = 0
		}
		wait := backoff(s.dec.Retry(), s.failed, c.opts.MaxWait)
		if c.opts.OnRetry != nil {
			c.opts.OnRetry(err, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// events yields what the connected stream has, until it ends.
func (s *session) events(w *watchdog) error {
	for {
		ev, err := s.dec.Next()
		id := s.dec.LastEventID()
		s.client.lastID.Store(&id)
		if errors.Is(err, ErrTooLong) { // it would come again
			return permanent{err}
		}
		if err != nil {
			return err
		}
		s.heard = true
		if ev.Name == wire.Heartbeat {
			continue
		}
		if open, ok := ev.Open(); ok {
			w.expect(open.Heartbeat)
		}
		ev.Data = slices.Clone(ev.Data)
		if !s.yield(ev, nil) {
			return permanent{errStop}
		}
		if why, ok := ev.Close(); ok && why.Code == push.CloseForbidden {
			return permanent{why}
		}
	}
}
