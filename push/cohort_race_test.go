package push_test

import (
	"bytes"
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
	"github.com/dualpush-go/dualpush/push/wire"
)

// following is a connection that takes as much as it likes, and checks that of
// each publisher everything comes, in order.
type following struct {
	mu   sync.Mutex
	line []byte // the beginning of one
	want [crowdPublishers]int
	err  error
	done chan struct{} // closed when all came, or something is wrong
}

const (
	crowdPublishers = 3
	crowdEvents     = 400
)

func (f *following) TryWrite(b []byte) (int, error) {
	if rand.N(20) == 0 {
		b = b[:rand.N(len(b)+1)]
	}
	return f.Write(b)
}

func (f *following) Write(b []byte) (int, error) {
	if !f.mu.TryLock() {
		f.err = errors.New("two write at a time")
		return len(b), nil
	}
	defer f.mu.Unlock()
	f.line = append(f.line, b...)
	for i := bytes.IndexByte(f.line, '\n'); i >= 0; i = bytes.IndexByte(f.line, '\n') {
		f.event(bytes.Fields(f.line[:i]))
		f.line = f.line[i+1:]
	}
	return len(b), nil
}

func (f *following) event(fields [][]byte) {
	if len(fields) != 4 || f.err != nil { // a control event, or nothing to go on with
		return
	}
	p, _ := strconv.Atoi(string(fields[2]))
	n, _ := strconv.Atoi(string(fields[3]))
	if f.want[p] != n {
		f.err = fmt.Errorf("of publisher %d got %d, want %d", p, n, f.want[p])
		close(f.done)
		return
	}
	f.want[p] = n + 1
	for _, n := range f.want {
		if n < crowdEvents {
			return
		}
	}
	close(f.done)
}

// Two shards write two cohorts of a topic while members come, go and change.
func TestManyAtACohortAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	h := push.NewHub(push.NewMemory(keep("**", push.Retention{Count: crowdPublishers * crowdEvents})))
	var readers []*following
	for range 80 {
		f := &following{done: make(chan struct{})}
		readers = append(readers, f)
		open(t, h, f)
	}
	var publishers, visitors sync.WaitGroup
	for p := range crowdPublishers {
		publishers.Go(func() {
			for i := range crowdEvents {
				publish(t, h, "a", fmt.Sprint(p, " ", i))
				if i%50 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	stop := make(chan struct{})
	for range 3 {
		visitors.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					visit(t, h)
				}
			}
		})
	}
	publishers.Wait()
	close(stop)
	visitors.Wait()
	bound := time.After(time.Minute)
	for i, f := range readers {
		select {
		case <-f.done:
		case <-bound:
			t.Fatalf("stream %d did not get all", i)
		}
		f.mu.Lock()
		if f.err != nil {
			t.Errorf("stream %d: %v", i, f.err)
		}
		f.mu.Unlock()
	}
	h.Disconnect(func(*push.Subscription) bool { return true }, nil)
	shut(t, h)
	if s := h.State(); s.Parked != 0 {
		t.Errorf("left is %+v", s)
	}
	if err := h.CheckLog(); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, h *push.Hub, c push.Conn) (*push.Subscription, *push.Stream) {
	sub, err := h.Subscribe(context.Background(), []string{"a"}, push.FromHead())
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	st := sub.NewStream(c, wire.Frames{Framer: lines{}}, func(error) { sub.Close() })
	st.Start()
	return sub, st
}

// visit joins for a while, and does what may be done to a stream.
func visit(t *testing.T, h *push.Hub) {
	c := &exclusive{}
	c.each = rand.N(200)
	sub, st := open(t, h, c)
	if sub == nil {
		return
	}
	for range 5 {
		if _, err := sub.Update([]string{fmt.Sprint("other/", rand.N(3))}, []string{"other/1"}, ""); err != nil {
			t.Error(err)
		}
		before := sub.Position()
		sub.Notify(push.Control{Name: "push.expiring"})
		st.Inject([]byte("x\n"), rand.N(2) == 0)
		if _, err := sub.Update([]string{"a"}, []string{"other/0", "other/1", "other/2"}, ""); err != nil {
			t.Error(err)
		}
		if c.each == 0 && sub.Position().Seq < before.Seq { // a short write may move it back
			t.Errorf("the position went from %v to %v", before, sub.Position())
		}
	}
	if rand.N(2) == 0 {
		st.Gone(errors.New("left"))
	} else {
		sub.Disconnect(&push.CloseError{Code: push.CloseDrain})
	}
	if c.broken.Load() {
		t.Error("two wrote at a time")
	}
}
