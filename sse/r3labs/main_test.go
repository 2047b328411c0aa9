package r3labs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	r3sse "github.com/r3labs/sse/v2"
	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
	"github.com/dualpush-go/dualpush/sse/r3labs"
)

// r3labs' server is never closed here: a subscriber that leaves while its
// stream closes is a goroutine that stays for ever.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/r3labs/sse/v2.(*Stream).run.func1"))
}

// server is what the two have in common; so a test can run on both.
type server interface {
	http.Handler
	Publish(id string, event *r3sse.Event)
	CreateStream(id string) *r3sse.Stream
}

// adapter returns a server of ours over HTTP.
func adapter(tb testing.TB, hub *push.Hub) (*r3labs.Server, string) {
	tb.Helper()
	s := r3labs.New(hub)
	return s, listen(tb, s)
}

// original returns a server of r3labs over HTTP.
func original(tb testing.TB) (*r3sse.Server, string) {
	tb.Helper()
	s := r3sse.New()
	return s, listen(tb, s)
}

// listen serves s until the test ends.
func listen(tb testing.TB, s server) string {
	tb.Helper()
	h := httptest.NewServer(s)
	tb.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return h.URL
}

// reader reads a stream with our client.
type reader struct {
	t    testing.TB
	next chan sse.Event
	stop context.CancelFunc
}

// read connects to a stream after lastID, and is connected when it returns.
func read(tb testing.TB, url, stream, lastID string) *reader {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	r := &reader{tb, make(chan sse.Event), cancel}
	connected, done := make(chan struct{}), make(chan struct{})
	tr := &http.Transport{}
	hc := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := tr.RoundTrip(req)
		if connected != nil {
			close(connected)
			connected = nil
		}
		return resp, err
	})}
	c := sse.NewClient(url+"?stream="+stream, &sse.ClientOptions{HTTPClient: hc, LastEventID: lastID})
	wait := connected
	go func() {
		defer close(done)
		for ev, err := range c.Events(ctx) {
			if err != nil {
				close(r.next)
				return
			}
			select {
			case r.next <- ev:
			case <-ctx.Done():
			}
		}
	}()
	tb.Cleanup(func() { cancel(); <-done; tr.CloseIdleConnections() })
	<-wait
	return r
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// want reads events and compares their data.
func (r *reader) want(data ...string) (last sse.Event) {
	r.t.Helper()
	for _, d := range data {
		last = <-r.next
		if string(last.Data) != d {
			r.t.Fatalf("got %+v %q, want data %q", last, last.Data, d)
		}
	}
	return last
}

func event(id, data string) *r3sse.Event { return &r3sse.Event{ID: []byte(id), Data: []byte(data)} }

func numbers(from, to int) (texts []string) {
	for i := from; i <= to; i++ {
		texts = append(texts, strconv.Itoa(i))
	}
	return texts
}
