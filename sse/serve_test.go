package sse_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

func TestHeadersKeepProxiesFromHoldingTheStream(t *testing.T) {
	for f, contentType := range map[sse.Format]string{
		sse.FormatRaw: "text/event-stream", sse.FormatEnvelope: "text/event-stream", sse.FormatNDJSON: "application/x-ndjson",
	} {
		t.Run(f.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.opts = &sse.Options{Format: f}
				s := w.start().open("") // returns although nothing was published
				for name, want := range map[string]string{
					"Content-Type": contentType, "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
				} {
					if got := s.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				if s.StatusCode != http.StatusOK || len(s.TransferEncoding) > 0 {
					t.Errorf("status %d, transfer encoding %q", s.StatusCode, s.TransferEncoding)
				}
			})
		})
	}
}

func TestOpenIsSentAtOnce(t *testing.T) {
	for f, pattern := range map[sse.Format]string{
		sse.FormatRaw:      `^retry: (\d+)\nid: a0\.\S+\nevent: push.open\ndata: {"connection":"c","topics":\["t"\],"heartbeat":25000}\n\n$`,
		sse.FormatEnvelope: `^retry: (\d+)\nid: a0\.\S+\nevent: push.open\ndata: {"id":"a0\.\S+","event":"push.open","data":{"connection":"c",.*}}\n\n$`,
		sse.FormatNDJSON:   `^{"id":"a0\.\S+","event":"push.open","data":{"connection":"c",.*}}\n()$`,
	} {
		t.Run(f.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.opts = &sse.Options{Format: f}
				w.subOpt = []push.SubscribeOption{push.WithID("c"), push.WithHeartbeat(25 * time.Second)}
				s := w.start().open("")
				buf := make([]byte, 4096)
				n, _ := s.Body.Read(buf) // one write
				if !regexp.MustCompile(pattern).Match(buf[:n]) {
					t.Errorf("got %q", buf[:n])
				}
			})
		})
	}
}

func TestRetryIsSpreadByAQuarter(t *testing.T) {
	seen := map[time.Duration]bool{}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opts = &sse.Options{Retry: 4 * time.Second}
		w.start()
		for range 50 {
			s := w.open("")
			retry := s.next().Retry
			if retry < 3*time.Second || retry > 5*time.Second {
				t.Fatal(retry)
			}
			seen[retry] = true
			_ = s.Body.Close()
		}
	})
	if len(seen) < 25 {
		t.Errorf("%d different times in 50", len(seen))
	}
}

func TestEventsArriveAndResumeWithoutLossOrDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		s := w.open("")
		s.want(wire.Open, "*")
		ids := w.publishText("1", "2", "3")
		if ev := s.want("message", "1"); ev.ID != ids[0].String() {
			t.Error(ev.ID)
		}
		cursor := s.want("message", "2").ID
		_ = s.Body.Close()
		w.publishText("4")
		s = w.open(cursor)
		if open := s.want(wire.Open, "*"); open.ID != cursor {
			t.Errorf("push.open has id %q, not the reader's position %q", open.ID, cursor)
		}
		s.want("message", "3")
		s.want("message", "4")
	})
}

func TestUnknownCursorIsToldAsGapNotAsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		w.publishText("1")
		s := w.open("17")
		s.want(wire.Open, "*")
		ev := s.want(wire.Gap, "*")
		if gap, ok := ev.Gap(); !ok || gap.Reason != push.ReasonEpoch || gap.Topics[0] != "t" {
			t.Errorf("%s", ev.Data)
		}
		s.want("message", "1")
	})
}

func TestHeartbeatHasAnIDAndEmptyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.subOpt = []push.SubscribeOption{push.WithHeartbeat(25 * time.Second)}
		s := w.start().open("")
		s.want(wire.Open, "*")
		begun := time.Now()
		_, _ = w.hub.Publish(t.Context(), push.Event{Topic: "other"})
		head, _ := w.hub.Head(t.Context())
		if ev := s.want(wire.Heartbeat, ""); ev.ID != head.String() {
			t.Errorf("id %q: an idle client ages out of the log", ev.ID)
		}
		if d := time.Since(begun); d > 25*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestHubsEndIsToldWithTheTimeToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		s := w.open("")
		s.want(wire.Open, "*")
		w.hub.Disconnect(func(*push.Subscription) bool { return true }, &push.CloseError{Code: push.CloseDrain, Reason: "bye", Retry: 7 * time.Second})
		ev := s.want(wire.Close, `{"code":1012,"reason":"bye","retry":7000}`)
		if why, ok := ev.Close(); !ok || *why != (push.CloseError{Code: 1012, Reason: "bye", Retry: 7 * time.Second}) {
			t.Error(why)
		}
		if ev.Retry != 7*time.Second {
			t.Error("EventSource would come back after", ev.Retry)
		}
		if _, err := s.dec.Next(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		var end *push.CloseError
		if err := <-w.ended; !errors.As(err, &end) || end.Code != push.CloseDrain {
			t.Error(err)
		}
	})
}

func TestStreamEndsWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		s := w.open("")
		s.want(wire.Open, "*")
		begun := time.Now()
		_ = s.Body.Close()
		if err := <-w.ended; !errors.Is(err, context.Canceled) || time.Since(begun) > 0 {
			t.Error(err, time.Since(begun))
		}
	})
}

// A middleware may end the request's context, and need not wait for a client
// that does not read.
func TestStreamEndsWithItsContext(t *testing.T) {
	for name, reads := range map[string]bool{"idle": true, "blocked": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				why := errors.New("revoked")
				w.server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithCancelCause(r.Context())
					defer cancel(nil)
					time.AfterFunc(time.Second, func() { cancel(why) })
					w.ServeHTTP(rw, r.WithContext(ctx))
				})
				w.start()
				if reads {
					w.open("").want(wire.Open, "*")
				} else {
					w.rawOpen()
				}
				begun := time.Now()
				if err := <-w.ended; !errors.Is(err, why) || time.Since(begun) != time.Second {
					t.Error(err, time.Since(begun))
				}
			})
		})
	}
}

func TestHeadGetsHeadersAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		resp, err := w.client.Head("http://memory/")
		if err != nil || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(resp, err)
		}
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
	})
}

func TestCursorOrder(t *testing.T) {
	for _, c := range []struct{ header, query, want string }{
		{"h", "after=a&last_event_id=l", "h"}, {"", "last_event_id=l&after=a", "a"}, {"", "last_event_id=l", "l"}, {"", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+c.query, nil)
		r.Header.Set("Last-Event-ID", c.header)
		if got := sse.Cursor(r); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestRefusalKeepsEventSourceComingBack(t *testing.T) {
	why := &push.CloseError{Code: push.CloseOverload, Reason: "full", Retry: 4 * time.Second}
	for _, c := range []struct {
		f                    sse.Format
		cursor, id, envelope string
	}{
		{sse.FormatRaw, "a7.x", "id: a7.x\n", ""},
		{sse.FormatRaw, "", "", ""},
		{sse.FormatRaw, "not a cursor", "id: -\n", ""},
		{sse.FormatRaw, strings.Repeat("x", 65), "id: -\n", ""},
		{sse.FormatEnvelope, "a7.x", "id: a7.x\n", "a7.x"},
		{sse.FormatNDJSON, "a7.x", "", "a7.x"},
		{sse.FormatNDJSON, "", "", ""},
	} {
		rec, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Last-Event-ID", c.cursor)
		if err := sse.Refuse(rec, r, why, &sse.Options{Format: c.f}); err != nil {
			t.Fatal(err)
		}
		body := rec.Body.String()
		if rec.Code != 200 || rec.Header().Get("Content-Type") != c.f.ContentType() || strings.Contains(body, wire.Open) {
			t.Errorf("%v: %d %q", c.f, rec.Code, body)
		}
		data := body
		if c.f != sse.FormatNDJSON {
			m := regexp.MustCompile(`^retry: (\d+)\n` + c.id + `event: push.close\ndata: (.*)\n\n$`).FindStringSubmatch(body)
			if m == nil {
				t.Errorf("%v, cursor %q: %q", c.f, c.cursor, body)
				continue
			}
			data = m[2]
		}
		var env wire.Envelope
		if c.f != sse.FormatRaw {
			if err := json.Unmarshal([]byte(data), &env); err != nil || env.ID != c.envelope || env.Event != wire.Close {
				t.Errorf("%v: %s", c.f, data)
			}
			data = string(env.Data)
		}
		var end wire.CloseData
		if err := json.Unmarshal([]byte(data), &end); err != nil || end.Code != 1013 || end.Retry < 3000 || end.Retry > 5000 {
			t.Errorf("%v: %s", c.f, data)
		}
	}
}

func TestRefusalOfHeadHasNoBody(t *testing.T) {
	rec := httptest.NewRecorder()
	_ = sse.Refuse(rec, httptest.NewRequest(http.MethodHead, "/", nil), &push.CloseError{Code: push.CloseDrain}, nil)
	if rec.Code != 200 || rec.Body.Len() > 0 {
		t.Error(rec)
	}
}
