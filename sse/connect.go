package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strings"
	"time"
)

// connectTimeout is how long the server may take for the head of its answer.
const connectTimeout = 35 * time.Second

// attempt makes one connection and reads it to its end.
func (s *session) attempt(ctx context.Context) error {
	s.heard = false
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newWatchdog(cancel)
	defer w.stop()
	return s.connect(ctx, w)
}

func (s *session) connect(ctx context.Context, w *watchdog) error {
	w.wait()
	req, err := s.request(ctx)
	if err != nil {
		return err
	}
	resp, err := s.client.opts.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	w.stop()
	w.limit = 0
	if err := s.check(resp); err != nil {
		return err
	}
	w.body = resp.Body
	s.dec.Reset(w)
	return s.events(w)
}

func (s *session) request(ctx context.Context) (*http.Request, error) {
	c := s.client
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err == nil && req.URL.Host == "" {
		err = fmt.Errorf("the URL %q has no host: write http:// or https:// before it", c.url)
	}
	if err != nil {
		return nil, permanent{fmt.Errorf("sse: %w", err)}
	}
	if c.opts.Header != nil {
		h, err := c.opts.Header(ctx)
		if err != nil {
			return nil, err
		}
		req.Header = h.Clone()
		if req.Header == nil {
			req.Header = http.Header{}
		}
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	if id := s.dec.LastEventID(); id != "" && fitsHeader(id) {
		req.Header.Set("Last-Event-ID", id)
	}
	return req, nil
}

// fitsHeader reports whether an id can be a header's value (RFC 9110 section
// 5.5); with any other no request could be made any more.
func fitsHeader(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F })
}

// check tells a stream from other answers.
func (s *session) check(resp *http.Response) error {
	if resp.StatusCode == http.StatusNoContent {
		return permanent{errStop}
	}
	contentType := resp.Header.Get("Content-Type")
	t, _, _ := mime.ParseMediaType(contentType)
	if resp.StatusCode == http.StatusOK && t == "text/event-stream" {
		return nil
	}
	err := &StatusError{resp.StatusCode, contentType}
	if retry := s.client.opts.RetryStatus; retry != nil && retry(resp.StatusCode) {
		return err
	}
	return permanent{err}
}

const (
	defaultRetry = 2 * time.Second // of a server that states none
	minRetry     = 100 * time.Millisecond
)

// backoff returns how long to wait after so many failed attempts in a row. What
// the server asked for is waited exactly, for servers spread their clients by
// it; on top of that comes a random part of a time that doubles with every
// failure.
func backoff(retry time.Duration, failed int, most time.Duration) time.Duration {
	spread := time.Duration(0)
	if retry == 0 {
		retry, spread = defaultRetry/2, defaultRetry
	}
	retry = max(retry, minRetry)
	if failed > 0 {
		spread = most
		if failed < 32 && retry < most>>failed {
			spread = retry << failed
		}
	}
	if spread == 0 {
		return retry
	}
	return retry + rand.N(spread)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errSilent = errors.New("sse: the server was silent for too long")

// watchdog cancels an attempt when its server is silent. It watches only while
// it is waited for the server, not while the application looks at an event.
type watchdog struct {
	timer *time.Timer
	limit time.Duration // 0: patient
	body  io.Reader
}

func newWatchdog(cancel context.CancelCauseFunc) *watchdog {
	w := &watchdog{limit: connectTimeout}
	w.timer = time.AfterFunc(time.Hour, func() { cancel(errSilent) })
	w.timer.Stop()
	return w
}

// expect takes the heartbeat that the server promised, in ms.
func (w *watchdog) expect(ms int64) {
	if 0 < ms && ms < (24*time.Hour).Milliseconds() {
		w.limit = time.Duration(ms) * time.Millisecond / 5 * 7
	}
}

func (w *watchdog) wait() {
	if w.limit > 0 {
		w.timer.Reset(w.limit)
	}
}

func (w *watchdog) stop() { w.timer.Stop() }

// Read implements io.Reader.
func (w *watchdog) Read(p []byte) (int, error) {
	w.wait()
	n, err := w.body.Read(p)
	w.stop()
	return n, err
}
