package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/memnet"
	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a mount at /push of a server that runs.
type site struct {
	*httptest.Server
	t   testing.TB
	hub *push.Hub
	log *logBuffer
}

// everybody may do everything.
var everybody = rest.Public(push.Sub("**"), push.Pub("**"))

// serve mounts a handler on a server; Hub, Auth, Prefix and Logger have
// defaults.
func serve(t testing.TB, cfg rest.Config) *site {
	t.Helper()
	h, s := newHandler(t, cfg)
	s.Server = httptest.NewServer(h)
	return s.start()
}

// serveInMemory is serve without a network, for a synctest bubble.
func serveInMemory(t testing.TB, cfg rest.Config, server *http.Server) *site {
	t.Helper()
	h, s := newHandler(t, cfg)
	l := memnet.New()
	server.Handler = h
	s.Server = &httptest.Server{Listener: l, Config: server}
	s.Start()
	s.Client().Transport.(*http.Transport).DialContext = l.Dial
	return s.start()
}

func newHandler(t testing.TB, cfg rest.Config) (*rest.Handler, *site) {
	t.Helper()
	s := &site{t: t, log: &logBuffer{}}
	if cfg.Hub == nil {
		cfg.Hub = push.New()
	}
	if cfg.Auth == nil {
		cfg.Auth = everybody
	}
	cfg.Prefix = "/push"
	cfg.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	s.hub = cfg.Hub
	h, err := rest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h, s
}

func (s *site) start() *site {
	s.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(s.log, nil), slog.LevelError)
	s.Client().Transport.(*http.Transport).DisableCompression = true
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.t.Cleanup(func() {
		s.kill()
		s.Client().CloseIdleConnections()
		s.Close()
	})
	return s
}

// kill ends the hub and with it all streams.
func (s *site) kill() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.hub.Shutdown(ctx)
}

func (s *site) publish(topic string, data ...string) []push.ID {
	s.t.Helper()
	var ids []push.ID
	for _, d := range data {
		id, err := s.hub.Publish(context.Background(), push.Event{Topic: topic, Data: []byte(d)})
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, id...)
	}
	return ids
}

// patience is how long a test waits for what should come at once.
const patience = 10 * time.Second

// longest is how long a stream of a test may live: in a bubble that is nothing.
const longest = 48 * time.Hour

// request makes a request under the mount; headers are "Name: value".
func (s *site) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+"/push"+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req
}

// answer is a whole response.
type answer struct {
	*http.Response
	body string
	what string
}

// do makes a request whose answer ends.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience) // a bubble's minute passes at once
	defer cancel()
	res, err := s.Client().Do(s.request(ctx, method, path, body, headers...))
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res, string(b), fmt.Sprintf("%s %s %v", method, path, headers)}
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, "", append([]string{"Accept: application/json"}, headers...)...)
}

func (s *site) post(path, body string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, path, body, headers...)
}

// expect checks a status; above 399 the body must be a problem that says it,
// whose detail is returned.
func (s *site) expect(status int, a answer) (detail string) {
	s.t.Helper()
	if a.StatusCode != status {
		s.t.Fatalf("%s: status %d, want %d\n%s", a.what, a.StatusCode, status, a.body)
	}
	if status < 400 || a.Request.Method == http.MethodHead {
		return ""
	}
	var p struct {
		Title  string
		Status int
		Detail string
	}
	s.decode(a, &p)
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" || p.Status != status || p.Title != http.StatusText(status) || p.Detail == "" {
		s.t.Errorf("%s: no problem of RFC 9457: type %q, body %s", a.what, ct, a.body)
	}
	return p.Detail
}

func (s *site) decode(a answer, v any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		s.t.Fatalf("%s: %v in %q", a.what, err, a.body)
	}
}

// logBuffer is a log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newHTTP2(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	return srv
}
