package r3labs_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
)

func TestOurClientReadsTheirServer(t *testing.T) {
	s, url := original(t)
	s.CreateStream("messages")
	s.Publish("messages", &r3sse.Event{Data: []byte("1"), Event: []byte("e"), Retry: []byte("50"), Comment: []byte("c")})
	r := read(t, url, "messages", "")
	if ev := r.want("1"); ev.ID != "0" || ev.Name != "e" || ev.Retry != 50*time.Millisecond {
		t.Errorf("%+v", ev)
	}
	s.Publish("messages", event("", "2"))
	if ev := r.want("2"); ev.ID != "1" || ev.Name != "message" {
		t.Errorf("%+v", ev)
	}
}

// One program, either server: their client sees the same.
func TestSameProgramOnBothServers(t *testing.T) {
	ours, oursURL := adapter(t, push.New())
	orig, origURL := original(t)
	for url, s := range map[string]server{oursURL: ours, origURL: orig} {
		s.CreateStream("messages")
		for _, text := range numbers(1, 3) {
			s.Publish("messages", &r3sse.Event{Event: []byte("n"), Data: []byte(text), Retry: []byte("7")})
		}
		p := theirs(t, url, "messages")
		for _, text := range numbers(1, 3) {
			if id, name, data, retry := p.next(); id == "" || name != "n" || data != text || retry != "7" {
				t.Errorf("%q %q %q %q", id, name, data, retry)
			}
		}
	}
}

// What docs/decisions/r3labs.md says of their server, each next to what the
// adapter does.
func TestWhereWeDiffer(t *testing.T) {
	ours, oursURL := adapter(t, push.New())
	orig, origURL := original(t)
	publish := func(stream string, events ...*r3sse.Event) {
		for _, s := range []server{ours, orig} {
			s.CreateStream(stream)
			for _, ev := range events {
				s.Publish(stream, &r3sse.Event{ID: ev.ID, Data: ev.Data})
			}
		}
	}
	t.Run("they send the event again that was seen", func(t *testing.T) {
		publish("resume", event("", "1"), event("", "2"), event("", "3"))
		read(t, origURL, "resume", read(t, origURL, "resume", "").want("1", "2").ID).want("2", "3")
		read(t, oursURL, "resume", read(t, oursURL, "resume", "").want("1", "2").ID).want("3")
	})
	t.Run("they replace the publisher's id", func(t *testing.T) {
		publish("ids", event("mine", "1"))
		if a, b := read(t, origURL, "ids", "").want("1").ID, read(t, oursURL, "ids", "").want("1").ID; a != "0" || b != "mine" {
			t.Error(a, b)
		}
	})
	t.Run("they lose what is after a line end", func(t *testing.T) {
		publish("lines", event("", "a\nb"))
		read(t, origURL, "lines", "").want("a")
		read(t, oursURL, "lines", "").want("a\nb")
	})
	t.Run("they refuse an id that is no number", func(t *testing.T) {
		publish("numbers", event("", "1"))
		if a, b := statusOf(t, origURL+"?stream=numbers", "x"), statusOf(t, oursURL+"?stream=numbers", "x"); a != 400 || b != 200 {
			t.Error(a, b)
		}
	})
	t.Run("an event without data ends their stream, and every replay", func(t *testing.T) {
		publish("empty", event("x", ""), event("", "1"))
		resp := get(t, origURL+"?stream=empty", "")
		if body, err := io.ReadAll(resp.Body); err != nil || len(body) > 0 {
			t.Errorf("%q %v", body, err)
		}
		read(t, oursURL, "empty", "").want("1")
	})
	t.Run("their client fails on lines of 64 KiB", func(t *testing.T) {
		publish("long", event("", strings.Repeat("x", 64<<10)))
		for _, url := range []string{origURL, oursURL} {
			c := r3sse.NewClient(url)
			c.ReconnectStrategy = never{}
			if err := c.Subscribe("long", func(*r3sse.Event) {}); !errors.Is(err, bufio.ErrTooLong) {
				t.Error(err)
			}
		}
		read(t, origURL, "long", "").want(strings.Repeat("x", 64<<10))
	})
}

// never has r3labs' client give up.
type never struct{}

func (never) Reset()                     {}
func (never) NextBackOff() time.Duration { return -1 }

func get(t *testing.T, url, lastID string) *http.Response {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func statusOf(t *testing.T, url, lastID string) int {
	t.Helper()
	return get(t, url, lastID).StatusCode
}
