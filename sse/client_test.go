package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// script answers each request with the next of its handlers, the last for ever.
type script struct {
	steps []http.HandlerFunc
	at    []time.Time
	ids   []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.at, s.ids = append(s.at, time.Now()), append(s.ids, r.Header.Get("Last-Event-ID"))
	s.steps[min(len(s.at), len(s.steps))-1](w, r)
}

// waits returns the times between requests.
func (s *script) waits() (d []time.Duration) {
	for i := 1; i < len(s.at); i++ {
		d = append(d, s.at[i].Sub(s.at[i-1]))
	}
	return d
}

func streams(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hangs up without an answer.
func hangs(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// play lets a client read a script to its end.
func play(t *testing.T, opts sse.ClientOptions, steps ...http.HandlerFunc) (s *script, events []sse.Event, err error) {
	t.Helper()
	w := newWorld(t)
	s = &script{steps: steps}
	w.server.Handler = s
	w.start()
	w.client.Transport.(*http.Transport).DisableKeepAlives = true // on old connections it tries again by itself
	opts.HTTPClient = w.client
	for ev, e := range sse.NewClient("http://memory/", &opts).Events(t.Context()) {
		if err = e; e != nil {
			break
		}
		events = append(events, ev)
	}
	return s, events, err
}

func TestClientReconnectsAsTheServerAsksUntil204(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, events, err := play(t, sse.ClientOptions{LastEventID: "0"},
			streams("retry: 700\nid: 1\ndata: x\n\nid: 2\ndata: cut"),
			streams("data: y\n\n"),
			streams("retry: 900\nid: 3\n\n:"),
			streams("id: 4\ndata: z\n\n"),
			status(204))
		if err != nil {
			t.Error(err)
		}
		got := make([]string, len(events))
		for i, ev := range events {
			got[i] = ev.ID + string(ev.Data)
		}
		if !slices.Equal(got, []string{"1x", "1y", "4z"}) {
			t.Error(got)
		}
		if fmt.Sprint(s.ids) != "[0 1 1 3 4]" {
			t.Error(s.ids)
		}
		d := s.waits()
		if d[0] != 700*time.Millisecond || d[1] != 700*time.Millisecond || d[3] != 900*time.Millisecond {
			t.Error("the server's own time was not kept: ", d)
		}
		if d[2] < 900*time.Millisecond || d[2] > 2700*time.Millisecond {
			t.Error("after a stream without an event: ", d[2])
		}
	})
}

func TestClientBacksOffWithJitterAndForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := append([]http.HandlerFunc{streams("retry: 1000\ndata: x\n\n")}, slices.Repeat([]http.HandlerFunc{hangs}, 50)...)
		retries := 0
		s, events, err := play(t, sse.ClientOptions{MaxWait: 20 * time.Second, OnRetry: func(error, time.Duration) { retries++ }},
			append(steps, streams("data: y\n\n"), status(204))...)
		if err != nil || len(events) != 2 || retries != 52 {
			t.Fatal(events, err, retries)
		}
		d := s.waits()
		seen := map[time.Duration]bool{}
		for i, d := range d[1:51] {
			if most := min(time.Second<<min(i+1, 10), 20*time.Second); d < time.Second || d > time.Second+most {
				t.Errorf("wait %d: %v", i, d)
			}
			seen[d] = true
		}
		if len(seen) < 40 {
			t.Error("no jitter: ", d)
		}
		if d[51] != time.Second {
			t.Error("an event did not end the backing off: ", d[51])
		}
	})
}

func TestClientStopsWhereTryingAgainCannotHelp(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"not found":   {status(404), "sse: the server answered with status 404 Not Found"},
		"unavailable": {status(503), "sse: the server answered with status 503 Service Unavailable"},
		"no content":  {status(204), ""},
		"a stream with a status": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusForbidden)
		}, "sse: the server answered with status 403 Forbidden"},
		"not a stream": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
			`sse: the server answered with "text/html; charset=utf-8", not text/event-stream`},
		"forbidden": {streams("event: push.close\ndata: {\"code\":3003,\"reason\":\"banned\"}\n\n"),
			"push: stream closed: 3003 banned"},
		"too long": {streams("data: " + strings.Repeat("x", 2000) + "\n\n"), sse.ErrTooLong.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, err := play(t, sse.ClientOptions{MaxSize: 1000}, c.answer)
				if got := ""; c.want != got && (err == nil || err.Error() != c.want) || c.want == "" && err != nil {
					t.Error(err)
				}
				if len(s.at) != 1 {
					t.Error(len(s.at), "attempts")
				}
			})
		})
	}
}

func TestRetryStatusSurvivesAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, events, err := play(t, sse.ClientOptions{RetryStatus: func(code int) bool { return code >= 502 }},
			status(502), status(503), streams("data: x\n\n"), status(501))
		var e *sse.StatusError
		if !errors.As(err, &e) || e.Status != 501 || len(events) != 1 {
			t.Error(err, events)
		}
	})
}

func TestHeadersAreAskedForEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var tokens []string
		answer := func(w http.ResponseWriter, r *http.Request) {
			tokens = append(tokens, r.Header.Get("Authorization")+r.Header.Get("Accept"))
			streams("data: x\n\n")(w, r)
		}
		_, _, err := play(t, sse.ClientOptions{Header: func(context.Context) (http.Header, error) {
			if n++; n == 2 {
				return nil, errors.New("token endpoint down")
			}
			return http.Header{"Authorization": {strconv.Itoa(n)}}, nil
		}}, answer, answer, status(204))
		if err != nil || fmt.Sprint(tokens) != "[1text/event-stream 3text/event-stream]" || n != 4 {
			t.Error(err, tokens, n)
		}
	})
}

// An id is the server's to choose, but not every text fits a header.
func TestIDThatFitsNoHeaderDoesNotEndTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, events, err := play(t, sse.ClientOptions{}, streams("id: a\x01b\ndata: x\n\n"), streams("id: é\ndata: y\n\n"), status(204))
		if err != nil || len(events) != 2 || fmt.Sprintf("%q", s.ids) != `["" "" "é"]` {
			t.Errorf("%v %v %q", err, events, s.ids)
		}
	})
}

func TestWrongUseIsToldAtOnce(t *testing.T) {
	for _, c := range []struct {
		url  string
		hc   *http.Client
		want string
	}{
		{"memory/", nil, "http://"}, {"http://[", nil, "parse"}, {"http://memory/", &http.Client{Timeout: 1}, "set it to 0"},
	} {
		for _, err := range sse.NewClient(c.url, &sse.ClientOptions{HTTPClient: c.hc}).Events(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.url, err)
			}
		}
	}
}

func TestContextEndsTheIteration(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"while reading": func(w http.ResponseWriter, r *http.Request) {
			streams("data: x\n\n")(w, r)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"while waiting": hangs,
		"before the head": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.server.Handler = answer
				w.start()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				var last error
				for _, err := range sse.NewClient("http://memory/", &sse.ClientOptions{HTTPClient: w.client}).Events(ctx) {
					last = err
				}
				if !errors.Is(last, context.DeadlineExceeded) {
					t.Error(last)
				}
			})
		})
	}
}

func TestLeavingTheLoopClosesAndTheNextOneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		w.publishText("1", "2", "3")
		c := sse.NewClient("http://memory/", &sse.ClientOptions{HTTPClient: w.client, LastEventID: "0"})
		for _, want := range []string{"1", "2", "3"} {
			for ev, err := range c.Events(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := ev.Open(); ok {
					continue
				}
				if string(ev.Data) != want || ev.ID != c.LastEventID() {
					t.Fatalf("%+v", ev)
				}
				break
			}
			if err := <-w.ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}

func TestOwnedDataDoesNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, events, _ := play(t, sse.ClientOptions{}, streams("data: x\n\ndata: y\n\n"), status(204))
		if string(events[0].Data) != "x" {
			t.Errorf("%s", events[0].Data)
		}
	})
}

func TestTypedControlEvents(t *testing.T) {
	for _, f := range []sse.Format{sse.FormatRaw, sse.FormatEnvelope} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.opts = &sse.Options{Format: f}
			w.subOpt = []push.SubscribeOption{push.WithID("me")}
			s := w.start().open("junk")
			ev := s.want(wire.Open, "*")
			if open, ok := ev.Open(); !ok || open.Connection != "me" {
				t.Errorf("%v: %s", f, ev.Data)
			}
			ev = s.want(wire.Gap, "*")
			if gap, ok := ev.Gap(); !ok || gap.Reason != push.ReasonEpoch {
				t.Errorf("%v: %s", f, ev.Data)
			}
			if _, ok := ev.Open(); ok {
				t.Error("a gap is no open")
			}
			if _, ok := (&sse.Event{Name: wire.Open, Data: []byte("{")}).Open(); ok {
				t.Error("half an open is none")
			}
		})
	}
}
