package sse_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

// Failure 1: a half-open connection is noticed by the silence.
func TestSilentServerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reason error
		s, _, err := play(t, sse.ClientOptions{OnRetry: func(err error, _ time.Duration) { reason = err }},
			func(w http.ResponseWriter, r *http.Request) {
				streams("retry: 1000\nevent: push.open\ndata: {\"heartbeat\":25000}\n\n")(w, r)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}, status(204))
		if d := s.waits(); err != nil || len(d) != 1 || d[0] != 36*time.Second { // and the second of retry
			t.Error(err, d)
		}
		if reason == nil || !strings.Contains(reason.Error(), "silent") {
			t.Error("OnRetry was told: ", reason)
		}
	})
}

func TestServerThatNeverAnswersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, err := play(t, sse.ClientOptions{}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, status(204))
		if d := s.waits(); err != nil || len(d) != 1 || d[0] < 36*time.Second || d[0] > 41*time.Second {
			t.Error(err, d)
		}
	})
}

// Heartbeats keep a quiet stream alive, move its cursor and are not shown.
func TestHeartbeatsKeepTheStreamAndMoveTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.subOpt = []push.SubscribeOption{push.WithHeartbeat(25 * time.Second)}
		w.start()
		c := sse.NewClient("http://memory/", &sse.ClientOptions{HTTPClient: w.client,
			OnRetry: func(err error, _ time.Duration) { t.Error("reconnects: ", err) }})
		go func() {
			time.Sleep(10 * time.Minute)
			_, _ = w.hub.Publish(t.Context(), push.Event{Topic: "other"})
			time.Sleep(time.Minute)
			if head, _ := w.hub.Head(t.Context()); c.LastEventID() != head.String() {
				t.Error("the cursor stayed at ", c.LastEventID())
			}
			w.publishText("done")
		}()
		n := 0
		for ev, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; string(ev.Data) == "done" {
				break
			}
		}
		if n != 2 {
			t.Error(n, "events")
		}
	})
}

// The time that the application takes over an event is not the server's.
func TestSlowApplicationDoesNotTakeTheServerForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.subOpt = []push.SubscribeOption{push.WithHeartbeat(time.Second)}
		w.start()
		c := sse.NewClient("http://memory/", &sse.ClientOptions{HTTPClient: w.client,
			OnRetry: func(err error, _ time.Duration) { t.Error("reconnects: ", err) }})
		n := 0
		for _, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 4 {
				break
			}
			time.Sleep(5 * time.Second)
			w.publishText("next")
		}
	})
}

// Servers that promise no heartbeat may be silent for as long as they like.
func TestQuietServerIsNotTakenForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, events, err := play(t, sse.ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
			streams("data: x\n\n")(w, r)
			w.(http.Flusher).Flush()
			time.Sleep(time.Hour)
			streams("data: y\n\n")(w, r)
		}, status(204))
		if err != nil || len(events) != 2 || len(s.at) != 2 {
			t.Error(err, events, s.at)
		}
	})
}
