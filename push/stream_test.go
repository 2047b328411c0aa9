package push_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// lines is a form of the wire for tests: a line for each event and control
// event.
type lines struct{}

var lineOf = push.NewEncoding("line", func(dst []byte, e *push.Event) []byte {
	return fmt.Appendf(dst, "%s %d %s\n", e.ID, e.ID.Seq, e.Data)
})

func (lines) Encoding() *push.Encoding { return lineOf }

func (lines) AppendControl(dst []byte, id push.ID, name string, data any) ([]byte, error) {
	return fmt.Appendf(dst, "%s %s %s\n", id, name, wire.AppendData(nil, data)), nil
}

// socket is a connection that takes so many bytes at a time, and none while it
// is stuck.
type socket struct {
	mu      sync.Mutex
	got     bytes.Buffer
	each    int           // bytes that TryWrite takes; 0: all
	full    int           // once it holds so many bytes it takes no more; 0: never
	release chan struct{} // lets a Write go on that waits
	lost    error
}

func (s *socket) TryWrite(b []byte) (int, error) {
	if s.lost != nil {
		return 0, s.lost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(b)
	if s.each > 0 {
		n = min(n, s.each)
	}
	if s.full > 0 {
		n = min(n, max(s.full-s.got.Len(), 0))
	}
	s.got.Write(b[:n])
	return n, nil
}

func (s *socket) Write(b []byte) (int, error) {
	if s.release != nil {
		<-s.release
	}
	if s.lost != nil {
		return 0, s.lost
	}
	s.full = 0
	return s.got.Write(b)
}

// streamed is a subscription that the hub writes to a socket.
type streamed struct {
	*push.Stream
	sub   *push.Subscription
	ended chan error
}

func stream(t *testing.T, h *push.Hub, s *socket, from push.Start, opts ...push.SubscribeOption) *streamed {
	t.Helper()
	sub, err := h.Subscribe(t.Context(), []string{"a"}, from, opts...)
	if err != nil {
		t.Fatal(err)
	}
	st := &streamed{sub: sub, ended: make(chan error, 1)}
	st.Stream = sub.NewStream(s, wire.Frames{Framer: lines{}}, func(err error) {
		sub.Close()
		st.ended <- err
	})
	st.Start()
	return st
}

func publishEach(t *testing.T, h *push.Hub, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := h.Publish(context.Background(), push.Event{Topic: "a", Data: fmt.Appendf(nil, "event %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// events returns the sequences of the complete event lines in b, and the last
// cursor.
func events(b []byte) (seqs []string, cursor string) {
	whole := b[:bytes.LastIndexByte(b, '\n')+1]
	for line := range strings.Lines(string(whole)) {
		f := strings.Fields(line)
		if cursor = f[0]; !strings.HasPrefix(f[1], "push.") {
			seqs = append(seqs, f[1])
		}
	}
	return seqs, cursor
}

func sequences(from, to int) (want []string) {
	for i := from; i <= to; i++ {
		want = append(want, fmt.Sprint(i))
	}
	return want
}

// hubs are the two ways in which a hub reads.
func eitherHub(t *testing.T, f func(t *testing.T, newHub func() *push.Hub)) {
	t.Run("memory", func(t *testing.T) { f(t, func() *push.Hub { return push.New() }) })
	t.Run("external", func(t *testing.T) {
		f(t, func() *push.Hub {
			h := push.NewHub(struct{ push.Broker }{push.NewMemory()}, push.WithWindow(2, 1<<20))
			synctest.Wait()
			return h
		})
	})
}

func shut(t *testing.T, h *push.Hub) {
	t.Helper()
	if err := h.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestShortWritesAnywhereLoseAndDoubleNothing has the connection take n bytes
// at a time, for every n.
func TestShortWritesAnywhereLoseAndDoubleNothing(t *testing.T) {
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		for each := 1; each <= 240; each++ {
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				s := &socket{each: each}
				st := stream(t, h, s, push.FromHead())
				publishEach(t, h, 1, 5)
				synctest.Wait()
				publishEach(t, h, 6, 10)
				synctest.Wait()
				if got, _ := events(s.got.Bytes()); fmt.Sprint(got) != fmt.Sprint(sequences(1, 10)) {
					t.Fatalf("%d bytes at a time: %v\n%s", each, got, s.got.String())
				}
				shut(t, h)
				if err := <-st.ended; err == nil {
					t.Error("a stream ended without saying why")
				}
			})
		}
	})
}

// TestCutAnywhereResumesExactly fills the connection up at every byte, loses
// it there, and resumes on another one.
func TestCutAnywhereResumesExactly(t *testing.T) {
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		for full := 1; full <= 700; full += 1 {
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				s := &socket{full: full, release: make(chan struct{})}
				st := stream(t, h, s, push.FromHead())
				synctest.Wait()
				publishEach(t, h, 1, 10)
				synctest.Wait()
				st.Gone(errors.New("cut"))
				s.lost = errors.New("cut")
				close(s.release)
				if err := <-st.ended; !errors.Is(err, push.ErrGone) {
					t.Fatal(err)
				}
				before, cursor := events(s.got.Bytes())
				if cursor == "" {
					shut(t, h)
					return // not even push.open
				}
				again := &socket{}
				st = stream(t, h, again, push.AfterCursor(cursor))
				synctest.Wait()
				after, _ := events(again.got.Bytes())
				if got := slices.Concat(before, after); fmt.Sprint(got) != fmt.Sprint(sequences(1, 10)) {
					t.Fatalf("cut at byte %d: %v, then %v", full, before, after)
				}
				shut(t, h)
				if err := <-st.ended; err == nil {
					t.Error("a stream ended without saying why")
				}
			})
		}
	})
}

// TestDrainAnywhereFinishesTheFrame shuts the hub down while the connection
// has taken a part of a frame, at every byte.
func TestDrainAnywhereFinishesTheFrame(t *testing.T) {
	for full := 1; full <= 700; full++ {
		synctest.Test(t, func(t *testing.T) {
			h := push.New()
			s := &socket{full: full, release: make(chan struct{})}
			st := stream(t, h, s, push.FromHead())
			publishEach(t, h, 1, 10)
			synctest.Wait()
			st.sub.Disconnect(&push.CloseError{Code: push.CloseDrain})
			synctest.Wait()
			close(s.release)
			err := <-st.ended
			if end, ok := errors.AsType[*push.CloseError](err); !ok || end.Code != push.CloseDrain {
				t.Fatal(err)
			}
			if b := s.got.Bytes(); b[len(b)-1] != '\n' {
				t.Fatalf("full at byte %d: the stream ends in the middle of a frame: %q", full, b)
			}
			shut(t, h)
		})
	}
}

func TestAStuckStreamHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		stuck := &socket{full: 100, release: make(chan struct{})}
		slow := stream(t, h, stuck, push.FromHead())
		healthy := &socket{}
		well := stream(t, h, healthy, push.FromHead())
		for i := 0; i < 3000; i += 500 { // more than the log holds
			publishEach(t, h, i+1, i+500)
			synctest.Wait()
		}
		if got, _ := events(healthy.got.Bytes()); len(got) != 3000 {
			t.Fatalf("the healthy one got %d events", len(got))
		}
		close(stuck.release)
		synctest.Wait()
		got, _ := events(stuck.got.Bytes())
		if len(got) < 1000 || got[len(got)-1] != "3000" || !strings.Contains(stuck.got.String(), `"reason":"lagged"`) {
			t.Fatalf("the slow one got %d events", len(got))
		}
		shut(t, h)
		if err := <-slow.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
		if err := <-well.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
	})
}

func TestStreamHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		s := &socket{}
		st := stream(t, h, s, push.FromHead(), push.WithHeartbeat(25*time.Second))
		for range 10 {
			time.Sleep(25*time.Second + time.Millisecond)
			synctest.Wait()
			if !strings.Contains(s.got.String(), wire.Heartbeat) {
				t.Fatal("25 s of silence")
			}
			s.mu.Lock()
			s.got.Reset()
			s.mu.Unlock()
		}
		if _, err := h.Publish(t.Context(), push.Event{Topic: "elsewhere"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if !strings.HasPrefix(s.got.String(), "a1.") {
			t.Fatalf("the heartbeat's position has not moved: %s", s.got.String())
		}
		shut(t, h)
		if err := <-st.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
	})
}

func TestInjectedBytesComeBetweenFrames(t *testing.T) {
	for each := range 60 {
		synctest.Test(t, func(t *testing.T) {
			h := push.New()
			s := &socket{each: each}
			st := stream(t, h, s, push.FromHead())
			for i := 1; i <= 20; i++ {
				publishEach(t, h, i, i)
				if !st.Inject([]byte("x pong y\n"), true) {
					t.Fatal("refused")
				}
			}
			synctest.Wait()
			pongs := 0
			for line := range strings.Lines(s.got.String()) {
				if line == "x pong y\n" {
					pongs++
				} else if strings.Contains(line, "pong") {
					t.Fatalf("inside a frame: %q", line)
				}
			}
			if pongs != 20 {
				t.Fatalf("%d of 20", pongs)
			}
			shut(t, h)
			if err := <-st.ended; err == nil {
				t.Error("a stream ended without saying why")
			}
		})
	}
}

// A topic of one waits for the turn that is being written, 32 writes, and no
// more, however large the crowd of another topic is, together or not.
func TestATopicOfOneDoesNotWaitForACrowd(t *testing.T) {
	oneShard(t)
	n := 100_000
	if raceDetector {
		n = 10_000
	}
	synctest.Test(t, func(t *testing.T) { oneBesides(t, n, n, "crowd") })
	synctest.Test(t, func(t *testing.T) { oneBesides(t, 1000, 0, "crowd", "nobody") })
}

// oneBesides has an event for one come while the first of n is written to.
func oneBesides(t *testing.T, n, inCohorts int, topics ...string) {
	h := push.New()
	seen := &turns{gate: make(chan struct{})}
	close(seen.gate)
	start := func(name string, topics ...string) {
		sub := subscribe(t, h, push.FromHead(), topics)
		sub.NewStream(writerTo{seen, name}, wire.Frames{Framer: lines{}}, func(error) { sub.Close() }).Start()
	}
	for range n {
		start("c", topics...)
	}
	start("1", "one")
	synctest.Wait()
	publish(t, h, "crowd", "those that came first are together, too")
	wantTogether(t, h, inCohorts)
	seen.order.Reset()
	seen.gate = make(chan struct{})
	publish(t, h, "crowd", "x")
	synctest.Wait() // the first is being written
	publish(t, h, "one", "x")
	close(seen.gate)
	synctest.Wait()
	if at := strings.Index(seen.order.String(), "1"); at < 0 || at > 32 || seen.order.Len() != n+1 {
		t.Fatalf("the topic of one waited for %d of %d writes", at, seen.order.Len())
	}
	shut(t, h)
}

// turns notes who was written to.
type turns struct {
	mu    sync.Mutex
	order strings.Builder
	gate  chan struct{} // nothing is written before it is closed
}

type writerTo struct {
	*turns
	name string
}

func (w writerTo) TryWrite(b []byte) (int, error) {
	<-w.gate
	w.mu.Lock()
	defer w.mu.Unlock()
	w.order.WriteString(w.name)
	return len(b), nil
}

func (w writerTo) Write(b []byte) (int, error) { return len(b), nil }
