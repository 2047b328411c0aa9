package ws_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/memnet"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server serves the topics of a query, by default "a".
type server struct {
	t         *testing.T
	hub       *push.Hub
	opts      ws.Options
	heartbeat time.Duration
	actions   func(*push.Subscription) ws.Actions           // if not nil, in place of opts.Actions
	wrap      func(http.ResponseWriter) http.ResponseWriter // if not nil, around the writer
	ctx       func(context.Context) context.Context         // if not nil, the request's
	ended     chan error                                    // what Serve returned
	connect   func() net.Conn
	log       logBuffer
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newServer(t *testing.T) *server {
	s := &server{t: t, hub: push.New(), ended: make(chan error, 1000)}
	s.opts.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	return s
}

// overTCP is a server on the loopback interface.
func overTCP(t *testing.T) *server {
	s := newServer(t)
	ts := httptest.NewServer(s)
	s.connect = func() net.Conn {
		c, err := net.Dial("tcp", ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Cleanup(func() {
		kill(s.hub)
		ts.Close()
	})
	return s
}

// overPipe is a server whose connections have no buffers; it must be called in
// a bubble.
func overPipe(t *testing.T) *server {
	s := newServer(t)
	l := memnet.New()
	hs := &http.Server{Handler: s}
	go func() { _ = hs.Serve(l) }()
	s.through(l)
	t.Cleanup(func() {
		kill(s.hub)
		_ = hs.Close()
	})
	return s
}

// through has the server reached through a network in memory.
func (s *server) through(l *memnet.Net) {
	s.connect = func() net.Conn {
		c, err := l.Dial(s.t.Context(), "", "")
		if err != nil {
			s.t.Fatal(err)
		}
		return c
	}
}

// kill shuts a hub down without waiting for its readers.
func kill(h *push.Hub) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Shutdown(ctx)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	topics := r.URL.Query()["topic"]
	if topics == nil {
		topics = []string{"a"}
	}
	sub, err := s.hub.Subscribe(r.Context(), topics, push.AfterCursor(r.URL.Query().Get("after")), push.WithHeartbeat(s.heartbeat))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	opts := s.opts
	if s.actions != nil {
		opts.Actions = s.actions(sub)
	}
	if s.wrap != nil {
		w = s.wrap(w)
	}
	if s.ctx != nil {
		r = r.WithContext(s.ctx(r.Context()))
	}
	err = ws.Serve(w, r, sub, &opts)
	if refusal, ok := err.(*ws.HandshakeError); ok {
		http.Error(w, refusal.Reason, refusal.Status)
	}
	sub.Close()
	s.ended <- err
}

// end returns what the next Serve that ends returned.
func (s *server) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(time.Minute):
		s.t.Fatal("Serve does not return")
		return nil
	}
}

func (s *server) publish(topic string, data ...string) {
	s.t.Helper()
	for _, d := range data {
		if _, err := s.hub.Publish(context.Background(), push.Event{Topic: topic, Data: []byte(d)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// doFunc is Actions as a function.
type doFunc func(ctx context.Context, a *ws.Action) (any, error)

func (f doFunc) Do(ctx context.Context, a *ws.Action) (any, error) { return f(ctx, a) }
