package wire_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// lines frames events and control events as lines of text.
type lines struct{ refuse string }

var line = push.NewEncoding("line", func(dst []byte, e *push.Event) []byte {
	return append(append(append(dst, e.Topic...), ' '), append(e.Data, '\n')...)
})

func (lines) Encoding() *push.Encoding { return line }

var errNoForm = &push.CloseError{Code: push.CloseOverload, Reason: "no form for that"}

func (f lines) AppendControl(dst []byte, id push.ID, name string, data any) ([]byte, error) {
	if name == f.refuse {
		return dst, errNoForm
	}
	if g, ok := data.(wire.GapData); ok {
		data = g.Reason
	}
	if o, ok := data.(wire.OpenData); ok {
		data = fmt.Sprint(o.Topics, o.Heartbeat, len(o.Connection))
	}
	return fmt.Appendf(dst, "%d:%s %v\n", id.Seq, name, data), nil
}

// peer takes what a pump writes.
type peer struct {
	mu     sync.Mutex
	writes []string
	fail   error // from write number after on
	after  int
	calls  int
}

func (p *peer) write(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls++; p.fail != nil && p.calls > p.after {
		return p.fail
	}
	p.writes = append(p.writes, string(b))
	return nil
}

// take returns what was written since it was called last.
func (p *peer) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.writes
	p.writes = nil
	return w
}

// pumped starts a pump in a bubble and returns what it writes and its end.
func pumped(ctx context.Context, s *push.Subscription, f wire.Framer) (*peer, <-chan error) {
	p, done := &peer{}, make(chan error, 1)
	go func() { done <- wire.Pump(ctx, s, f, p.write) }()
	synctest.Wait()
	return p, done
}

func newHub(t *testing.T, r push.Retention) *push.Hub {
	h := push.NewHub(push.NewMemory(push.Rules(push.Rule{Pattern: "**", Retention: r})))
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.Shutdown(ctx)
	})
	return h
}

func publish(t *testing.T, h *push.Hub, topic string, data ...string) push.ID {
	t.Helper()
	events := make([]push.Event, len(data))
	for i, d := range data {
		events[i] = push.Event{Topic: topic, Data: []byte(d)}
	}
	ids, err := h.Publish(context.Background(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return ids[len(ids)-1]
}

func subscribe(t *testing.T, h *push.Hub, from push.Start, topic string, opts ...push.SubscribeOption) *push.Subscription {
	t.Helper()
	s, err := h.Subscribe(context.Background(), []string{topic}, from, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func expect(t *testing.T, p *peer, want ...string) {
	t.Helper()
	if got := p.take(); !slices.Equal(got, want) {
		t.Errorf("written:\n%q\nwant:\n%q", got, want)
	}
}

func TestTheOrderOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, push.Retention{Count: 2})
		first := publish(t, h, "a", "0")
		publish(t, h, "a", "1", "2", "3")
		s := subscribe(t, h, push.After(first), "a", push.WithHeartbeat(25*time.Second))
		s.Notify(push.Control{Name: "push.expiring", Data: "soon"})
		s.Notify(push.Control{Name: "push.other", Data: "x"})
		p, done := pumped(t.Context(), s, lines{})
		expect(t, p,
			"1:push.open [a] 25000 22\n",
			"1:push.expiring soon\n1:push.other x\n",
			"2:push.gap trimmed\na 2\na 3\n")
		time.Sleep(25 * time.Second)
		synctest.Wait()
		publish(t, h, "other", "x")
		time.Sleep(25 * time.Second)
		synctest.Wait()
		expect(t, p, "4:push.heartbeat <nil>\n", "5:push.heartbeat <nil>\n")
		publish(t, h, "a", "4")
		synctest.Wait()
		why := &push.CloseError{Code: push.CloseForbidden, Reason: "enough", Retry: time.Second}
		s.Disconnect(why)
		if err := <-done; err != why {
			t.Errorf("Pump returned %v", err)
		}
		expect(t, p, "a 4\n", "6:push.close {3003 enough 1000}\n")
	})
}

func TestABatchIsGatheredIntoFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, push.Retention{})
		s := subscribe(t, h, push.FromHead(), "**")
		var all strings.Builder
		put := func(n int) {
			data := strings.Repeat("x", n)
			publish(t, h, "a", data)
			fmt.Fprintf(&all, "a %s\n", data)
		}
		for range 100 {
			put(1000)
		}
		put(200_000)
		put(10)
		put(64<<10 - 3)
		put(64<<10 - 2)
		for range 100 {
			put(10)
		}
		p, _ := pumped(t.Context(), s, lines{})
		writes := p.take()[1:]
		if got := strings.Join(writes, ""); got != all.String() {
			t.Error("what was written is not what was published")
		}
		var sizes []int
		for _, w := range writes {
			sizes = append(sizes, len(w))
			if len(w) > 64<<10 && strings.Count(w, "\n") > 1 {
				t.Errorf("a write of %d bytes holds %d events", len(w), strings.Count(w, "\n"))
			}
			if !strings.HasSuffix(w, "\n") || !strings.HasPrefix(w, "a ") {
				t.Error("a frame is spread over two writes")
			}
		}
		if want := []int{65 * 1003, 35 * 1003, 200_003, 13, 64 << 10, 64<<10 + 1, 1300}; !slices.Equal(sizes, want) {
			t.Errorf("writes of %d bytes, want %d", sizes, want)
		}
	})
}

func TestAWriteThatFailsEndsTheStreamWithoutAGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, push.Retention{})
		broken := errors.New("broken pipe")
		for _, fail := range []error{broken, &push.CloseError{Code: push.CloseOverload}} { // the write's own, not the stream's
			for after := range 3 {
				s := subscribe(t, h, push.FromHead(), "a", push.WithHeartbeat(25*time.Second))
				p, done := &peer{fail: fail, after: after}, make(chan error, 1)
				go func() { done <- wire.Pump(t.Context(), s, lines{}, p.write) }()
				synctest.Wait()
				if after == 1 {
					publish(t, h, "a", "x")
				}
				if err := <-done; err != fail || len(p.take()) != after { // with after = 2 a heartbeat fails
					t.Errorf("write %d fails: Pump returned %v", after+1, err)
				}
				if p.calls != after+1 {
					t.Errorf("write %d fails, and was followed by %d more", after+1, p.calls-after-1)
				}
			}
		}
	})
}

func TestHowAStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, push.Retention{Count: 1})
		s := subscribe(t, h, push.FromHead(), "a")
		ctx, cancel := context.WithCancel(t.Context())
		p, done := pumped(ctx, s, lines{})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || len(p.take()) != 1 {
			t.Errorf("the peer left: %v", err)
		}
		old := publish(t, h, "a", "1")
		publish(t, h, "a", "2", "3")
		p, done = pumped(t.Context(), subscribe(t, h, push.After(old), "a"), lines{refuse: wire.Gap})
		if err := <-done; err != errNoForm {
			t.Errorf("a control event that has no form: %v", err)
		}
		expect(t, p, "1:push.open [a] 0 22\n", "3:push.close {1013 no form for that 0}\n")
		p, done = pumped(t.Context(), subscribe(t, h, push.FromHead(), "a"), lines{refuse: wire.Open})
		if err := <-done; err != errNoForm {
			t.Errorf("push.open that has no form: %v", err)
		}
		expect(t, p, "3:push.close {1013 no form for that 0}\n")
		closing := subscribe(t, h, push.FromHead(), "a")
		p, done = pumped(t.Context(), closing, lines{})
		closing.Close()
		var end *push.CloseError
		if err := <-done; !errors.As(err, &end) || end.Code != push.CloseDrain || !strings.Contains(p.take()[1], "push.close") {
			t.Errorf("the subscription was closed: %v", err)
		}
	})
}

// A thousand idle streams hold no buffer of 64 KB each.
func TestAnIdleStreamHoldsNoBuffer(t *testing.T) {
	const n = 1000
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what the pools held goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, push.Retention{Count: 10})
		ctx, cancel := context.WithCancel(t.Context())
		before := heap()
		for range n {
			s := subscribe(t, h, push.FromHead(), "a")
			go func() { _ = wire.Pump(ctx, s, lines{}, func([]byte) error { return nil }) }()
		}
		synctest.Wait()
		for range 10 {
			publish(t, h, "a", strings.Repeat("x", 10_000))
			synctest.Wait()
		}
		if per := (heap() - before) / n; per > 4<<10 {
			t.Errorf("an idle stream holds %d bytes", per)
		}
		cancel()
		synctest.Wait()
	})
}

// A stream that wakes takes a buffer that another one gave back.
func TestBuffersAreUsedAgain(t *testing.T) {
	const n = 1000
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, push.Retention{Count: 10})
		pumped(t.Context(), subscribe(t, h, push.FromHead(), "a"), lines{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			publish(t, h, "a", "x")
			synctest.Wait()
		}
		runtime.ReadMemStats(&after)
		if per := (after.TotalAlloc - before.TotalAlloc) / n; per > 40<<10 { // the race detector makes pools lose a part
			t.Errorf("an event costs %d bytes of memory", per)
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	e := push.Event{ID: someID, Topic: "wall", Data: []byte(strings.Repeat("x", 128)), Time: someTime}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendEvent(buf[:0], &e)
	}
}
