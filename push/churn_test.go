package push_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Readers park, are woken, change their topics, are notified and leave while
// events of all their topics come in from all sides. Each reader checks that
// the events of each publisher reach it in order, without a hole.
func TestReadersThatComeAndGoUnderLoadMissNothing(t *testing.T) {
	for name, wrap := range map[string]func(*push.Memory) push.Broker{
		"memory": func(b *push.Memory) push.Broker { return b },
		"window": func(b *push.Memory) push.Broker { return struct{ push.Broker }{b} },
	} {
		t.Run(name, func(t *testing.T) {
			h := push.NewHub(wrap(push.NewMemory()), push.WithWindow(50, 1<<20))
			defer kill(h)
			for errors.Is(h.Ready(), push.ErrNotReady) {
				runtime.Gosched()
			}
			churn(t, h)
		})
	}
}

const churnPublishers, churnEvents = 4, 400

func churn(t *testing.T, h *push.Hub) {
	var publishers, readers sync.WaitGroup
	for p := range churnPublishers {
		publishers.Go(func() {
			for i := range churnEvents {
				publish(t, h, fmt.Sprint("p/", p), strconv.Itoa(i))
				publish(t, h, fmt.Sprint("noise/", i%7), "x")
			}
		})
	}
	for range 8 {
		readers.Go(func() { churnReader(t, h) })
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					churnVisitor(t, h)
				}
			}
		})
	}
	publishers.Wait()
	readers.Wait()
	close(stop)
	others.Wait()
	if n := h.Subscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// churnReader follows all publishers to their ends, over many connections.
func churnReader(t *testing.T, h *push.Hub) {
	var seen [churnPublishers]int
	cursor := push.FromOldest()
	for done := 0; done < churnPublishers; {
		s, err := h.Subscribe(context.Background(), []string{"p/*", "p/1", "noise/3"}, cursor)
		if err != nil {
			t.Errorf("Subscribe: %v", err)
			return
		}
		for range 1 + rand.N(5) {
			b, err := s.Next(context.Background())
			if err != nil || b.Gap != nil {
				t.Errorf("Next: %s, %v", show(b), err)
				return
			}
			for _, m := range b.Messages {
				if m.Topic[0] != 'p' {
					continue
				}
				p, i := int(m.Topic[2]-'0'), seen[m.Topic[2]-'0']
				if string(m.Data) != strconv.Itoa(i) {
					t.Errorf("%s: got %s, want %d", m.Topic, m.Data, i)
					return
				}
				if seen[p]++; seen[p] == churnEvents {
					done++
				}
			}
			cursor = push.After(b.Upto)
			if done == churnPublishers {
				break
			}
			go s.Notify(push.Control{Name: "push.expiring"})
		}
		s.Close()
	}
}

// churnVisitor is there for a moment and does what it may.
func churnVisitor(t *testing.T, h *push.Hub) {
	s, err := h.Subscribe(context.Background(), []string{fmt.Sprint("noise/", rand.N(9)), "**"}, push.Last(3), push.WithHeartbeat(time.Microsecond))
	if err != nil {
		t.Errorf("Subscribe: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 10 {
			add, remove := []string{fmt.Sprint("noise/", i), fmt.Sprint("p/", i, "/**")}, []string{"**", fmt.Sprint("noise/", i-1)}
			if _, err := s.Update(add, remove, ""); err != nil && !errors.Is(err, push.ErrClosed) {
				t.Errorf("Update: %v", err)
			}
			s.Position()
			s.Topics()
		}
	})
	for err == nil {
		_, err = s.Next(ctx)
	}
	s.Close()
	wg.Wait()
}

// Patterns that come and go, over topics that do, too.
func TestPatternsThatComeAndGoLeaveNoState(t *testing.T) {
	h := memoryHub(t, push.NewMemory(keep("**", push.Retention{Count: 2})))
	for i := range 500 {
		starts := []push.Start{push.FromHead(), push.FromOldest(), push.Last(1)}
		s := subscribe(t, h, starts[i%3], []string{fmt.Sprint("a/", i%7, "/*"), "a/**", fmt.Sprint(i)})
		publish(t, h, fmt.Sprint("a/", i%11, "/", i%3), "x", "y", "z")
		if i%5 > 0 {
			s.Close()
		}
		if err := h.CheckLog(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range h.Open() {
		s.Close()
	}
	publish(t, h, "a/new", "x")
	if s := h.State(); s.Patterns != 0 || s.Links != 0 || s.Parked != 0 || s.Events != 11*3*2+1 || s.Topics != 11*3+1 {
		t.Errorf("left is %+v", s)
	}
}

// Failure 41: topics that come and go leave nothing behind but the floor.
func TestTopicsThatComeAndGoLeaveNoState(t *testing.T) {
	n := 100_000
	if raceDetector {
		n = 10_000
	}
	b := push.NewMemory(push.MaxBytes(1 << 20))
	h := memoryHub(t, b)
	start, _ := h.Head(t.Context())
	var before, after runtime.MemStats
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all := subscribe(t, h, push.FromHead(), []string{"room/**"})
	for i := range n {
		topic := fmt.Sprint("room/", i)
		s, err := h.Subscribe(t.Context(), []string{topic, topic + "/chat"}, push.FromHead())
		if err != nil {
			t.Fatal(err)
		}
		publish(t, h, topic, "x")
		if _, err := s.Next(ctx); err != nil {
			t.Fatal(err)
		}
		_, _ = s.Next(ctx) // parks
		s.Close()
		if i%100 == 0 {
			if _, err := all.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if i == n/2 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d topics later the heap has grown by %d bytes", n/2, grown)
	}
	if s := h.State(); s.Topics > s.Events || s.Events > 4000 || s.Aging > s.Events || s.Patterns != 1 || s.Parked > 1 {
		t.Errorf("after %d topics the log holds %+v", n, s)
	}
	if head, _ := h.Head(t.Context()); head.Epoch != start.Epoch || head.Seq != uint64(n) {
		t.Errorf("the head went from %v to %v", start, head)
	}
	all.Close()
	p, err := b.History(t.Context(), push.Query{Topics: []string{"room/5"}, After: start, Limit: 10})
	if err != nil || p.Gap == nil || len(p.Events) != 0 {
		t.Errorf("of a topic that is forgotten: %d events, gap %v, %v", len(p.Events), p.Gap, err)
	}
}
