package r3labs_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse/r3labs"
)

func TestNewSubscriberGetsTheHistoryAndResumesWithoutDoubles(t *testing.T) {
	s, url := adapter(t, push.New())
	s.CreateStream("messages")
	for _, text := range numbers(1, 3) {
		s.Publish("messages", event("", text))
	}
	r := read(t, url, "messages", "")
	cursor := r.want("1", "2").ID
	r.want("3")
	s.Publish("messages", event("", "4"))
	r.want("4")
	read(t, url, "messages", cursor).want("3", "4")
}

func TestWithoutAutoReplayNothingIsReplayed(t *testing.T) {
	s, url := adapter(t, push.New())
	s.AutoReplay = false
	s.CreateStream("messages")
	s.Publish("messages", event("", "1"))
	r := read(t, url, "messages", "")
	s.Publish("messages", event("", "2"))
	if ev := r.want("2"); ev.ID != "" {
		t.Errorf("id %q", ev.ID)
	}
	s.Publish("messages", event("mine", "3"))
	if ev := r.want("3"); ev.ID != "mine" {
		t.Errorf("id %q", ev.ID)
	}
	r = read(t, url, "messages", "mine")
	s.Publish("messages", event("", "4"))
	r.want("4")
}

// The stream that CreateStream returns can be told not to replay, as there.
func TestStreamHasItsOwnAutoReplay(t *testing.T) {
	s, url := adapter(t, push.New())
	s.CreateStream("messages").AutoReplay = false
	s.Publish("messages", event("", "1"))
	r := read(t, url, "messages", "")
	s.Publish("messages", event("", "2"))
	r.want("2")
}

func TestPublishersIDsAreKeptAndResume(t *testing.T) {
	s, url := adapter(t, push.New(push.WithDrainWindow(0)))
	s.CreateStream("messages")
	for _, id := range []string{"a", "b", "b", "c"} {
		s.Publish("messages", event(id, "data of "+id))
	}
	r := read(t, url, "messages", "")
	if ev := r.want("data of a"); ev.ID != "a" {
		t.Errorf("id %q", ev.ID)
	}
	read(t, url, "messages", "a").want("data of b", "data of b", "data of c")
	read(t, url, "messages", "b").want("data of b", "data of c") // the oldest b: nothing is lost
}

// An id of a server before the migration, or of a purged event, or nonsense.
func TestUnknownIDReplaysAllThatIsRetained(t *testing.T) {
	s, url := adapter(t, push.New())
	s.CreateStream("messages")
	s.Publish("messages", event("", "1"))
	for _, id := range []string{"17", "nonsense", push.ID{Epoch: 1, Seq: 7}.String()} {
		read(t, url, "messages", id).want("1")
	}
}

func TestStatusesAreTheirs(t *testing.T) {
	s := r3labs.New(push.New())
	for query, want := range map[string]string{"": "Please specify a stream!", "?stream=none": "Stream not found!"} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/"+query, nil))
		if rec.Code != 500 || strings.TrimSpace(rec.Body.String()) != want {
			t.Error(rec.Code, rec.Body)
		}
	}
	s.CreateStream("messages")
	rec := httptest.NewRecorder()
	s.ServeHTTP(struct{ http.ResponseWriter }{rec}, httptest.NewRequest(http.MethodGet, "/?stream=messages", nil))
	if rec.Code != 500 || !strings.HasPrefix(rec.Body.String(), "Streaming unsupported!") {
		t.Error(rec.Code, rec.Body)
	}
}

func TestHeaders(t *testing.T) {
	s, url := adapter(t, push.New())
	s.Headers["Access-Control-Allow-Origin"] = "*"
	s.Headers["Cache-Control"] = "no-cache"
	s.CreateStream("messages")
	resp, err := http.Get(url + "?stream=messages")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache", "X-Accel-Buffering": "no",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestStreamsComeAndGo(t *testing.T) {
	mem := push.NewMemory()
	s, url := adapter(t, push.NewHub(mem))
	if s.StreamExists("a") || s.TryPublish("a", event("", "lost")) {
		t.Error("a stream exists")
	}
	if st := s.CreateStream("a"); st != s.CreateStream("a") || !s.StreamExists("a") {
		t.Error("not created")
	}
	s.Publish("a", event("x", "1"))
	resp, err := http.Get(url + "?stream=a")
	if err != nil {
		t.Fatal(err)
	}
	s.RemoveStream("a")
	if body, err := io.ReadAll(resp.Body); err != nil || s.StreamExists("a") {
		t.Errorf("%q %v", body, err)
	}
	s.CreateStream("a")
	read(t, url, "a", "").want("1") // what is retained
	s.Purge = mem.Purge
	s.RemoveStream("a")
	s.CreateStream("a")
	r := read(t, url, "a", "")
	s.Publish("a", event("", "2"))
	r.want("2")
	s.Close()
	if s.StreamExists("a") {
		t.Error("Close left a stream")
	}
}

func TestAutoStreamLivesAsLongAsThere(t *testing.T) {
	for _, replay := range []bool{true, false} {
		s, url := adapter(t, push.New())
		gone := make(chan struct{})
		s.AutoStream, s.AutoReplay = true, replay
		s.OnUnsubscribe = func(string, *r3sse.Subscriber) { close(gone) }
		r := read(t, url, "new", "")
		s.Publish("new", event("", "1"))
		r.want("1")
		r.stop()
		<-gone
		if s.StreamExists("new") != replay {
			t.Errorf("AutoReplay %v: the stream exists: %v", replay, !replay)
		}
	}
}

func TestStreamsThatClientsLeaveBehindAreBounded(t *testing.T) {
	s := r3labs.New(push.New())
	s.AutoStream = true
	s.CreateStream("kept")
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // each client leaves at once
	s.SetMaxIdle(100)
	visit := func(names ...string) {
		for _, name := range names {
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/?stream="+name, nil))
		}
	}
	visit("adopted", "visited")
	s.CreateStream("adopted")
	s.CreateStream("visited")
	visit("visited")
	visit(numbers(1, 110)...)
	for name, want := range map[string]bool{"1": false, "10": false, "11": true, "110": true, "kept": true, "adopted": true, "visited": true} {
		if s.StreamExists(name) != want {
			t.Errorf("%s exists: %v", name, !want)
		}
	}
}

func TestCallbacks(t *testing.T) {
	var wg sync.WaitGroup
	wg.Add(2)
	report := func(what string) func(string, *r3sse.Subscriber) {
		return func(id string, sub *r3sse.Subscriber) {
			if id != "messages" || sub.URL.Query().Get("token") != "x" {
				t.Error(what, id, sub)
			}
			wg.Done()
		}
	}
	s := r3labs.NewWithCallback(push.New(), report("subscribe"), report("unsubscribe"))
	s.CreateStream("messages")
	r := read(t, listen(t, s), "messages&token=x", "")
	r.stop()
	wg.Wait()
}

func TestEventTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := r3labs.New(push.New())
		s.EventTTL = time.Minute
		s.CreateStream("messages")
		s.Publish("messages", event("", "old"))
		time.Sleep(time.Hour)
		s.Publish("messages", event("", "new"))
		if got := record(t, s, 0, nil); strings.Contains(got, "old") || !strings.Contains(got, "data: new\n") {
			t.Errorf("%q", got)
		}
	})
}

func TestHeartbeatIsOptional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := r3labs.New(push.New())
		s.CreateStream("messages")
		if got := record(t, s, time.Hour, nil); got != "" {
			t.Errorf("%q", got)
		}
		s.Heartbeat = 20 * time.Second
		if got := record(t, s, 50*time.Second, nil); got != ":\n\n:\n\n" {
			t.Errorf("%q", got)
		}
	})
}

// record returns what a client of the stream messages is sent for some time,
// after f ran while it was connected.
func record(t *testing.T, s *r3labs.Server, d time.Duration, f func()) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	rec := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/?stream=messages", nil))
	}()
	synctest.Wait()
	if f != nil {
		f()
	}
	time.Sleep(d)
	synctest.Wait()
	cancel()
	<-done
	body, _ := io.ReadAll(rec.Body)
	return string(body)
}

// hooked runs a function when history is read.
type hooked struct {
	push.Broker
	hook func()
}

func (h *hooked) History(ctx context.Context, q push.Query) (push.Page, error) {
	h.hook()
	return h.Broker.History(ctx, q)
}

func TestStreamRemovedWhileAClientComesIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hooked{Broker: push.NewMemory()}
		hub := push.NewHub(b)
		defer func() { _ = hub.Shutdown(t.Context()) }()
		s := r3labs.New(hub)
		b.hook = func() { s.RemoveStream("messages") }
		s.CreateStream("messages")
		synctest.Wait() // the hub is ready
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/?stream=messages", nil)
		r.Header.Set("Last-Event-ID", "looked up")
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(httptest.NewRecorder(), r)
		}()
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("it waits for events that nobody can publish")
			cancel()
			<-done
		}
	})
}
