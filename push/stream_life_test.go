package push_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// prepared is a stream that is not started.
func prepared(t *testing.T, h *push.Hub, c push.Conn, from push.Start, opts ...push.SubscribeOption) *streamed {
	t.Helper()
	sub, err := h.Subscribe(t.Context(), []string{"a"}, from, opts...)
	if err != nil {
		t.Fatal(err)
	}
	st := &streamed{sub: sub, ended: make(chan error, 2)}
	st.Stream = sub.NewStream(c, wire.Frames{Framer: lines{}}, func(err error) {
		sub.Close()
		st.ended <- err
	})
	return st
}

// A client may leave between the handshake and the start.
func TestClientThatLeavesBeforeTheStartEndsTheStreamOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		st := prepared(t, h, &socket{}, push.FromHead())
		st.Gone(errors.New("left"))
		st.sub.Disconnect(&push.CloseError{Code: push.CloseDrain})
		synctest.Wait()
		st.Start()
		synctest.Wait()
		if err := <-st.ended; !errors.Is(err, push.ErrGone) {
			t.Error(err)
		}
		if len(st.ended) > 0 || st.Inject([]byte("x"), true) {
			t.Error("it goes on")
		}
		shut(t, h)
	})
}

func TestStreamStartedAfterTheHubClosedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		st := prepared(t, h, &socket{}, push.FromHead())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = h.Shutdown(ctx)
		st.Start()
		if err := <-st.ended; wire.Ending(err) == nil {
			t.Error(err)
		}
	})
}

// push.open is the first thing on every stream, also if the client talks first.
func TestWhatIsInjectedEarlyComesAfterOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := push.New(), &socket{}
		st := prepared(t, h, s, push.FromHead())
		st.Inject([]byte("early\n"), true)
		st.Start()
		synctest.Wait()
		if first, rest, _ := strings.Cut(s.got.String(), "\n"); !strings.Contains(first, wire.Open) || rest != "early\n" {
			t.Errorf("%q", s.got.String())
		}
		shut(t, h)
		if err := <-st.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
	})
}

// waiting counts the times that it had to wait for nothing.
type waiting struct {
	socket
	idle atomic.Int32
}

func (w *waiting) Write(b []byte) (int, error) {
	if len(b) == 0 {
		w.idle.Add(1)
	}
	return w.socket.Write(b)
}

// A connection that is full at the edge of a frame has to be waited for as
// well: else the writer spins, and the client's time never runs out.
func TestFullConnectionIsWaitedForAtTheEdgeOfAFrame(t *testing.T) {
	for full := 1; full <= 500; full++ {
		synctest.Test(t, func(t *testing.T) {
			h, w := push.New(), &waiting{}
			w.full = full
			st := prepared(t, h, w, push.FromHead())
			publishEach(t, h, 1, 8)
			st.Start()
			synctest.Wait()
			if w.idle.Load() > 0 {
				t.Fatalf("full at byte %d: waited for nothing", full)
			}
			shut(t, h)
			if err := <-st.ended; err == nil {
				t.Error("a stream ended without saying why")
			}
		})
	}
}

func TestEachStreamHasItsOwnHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		var all []*streamed
		start := func(every time.Duration) (*socket, time.Duration) {
			s := &socket{}
			st := prepared(t, h, s, push.FromHead(), push.WithHeartbeat(every))
			st.Start()
			all = append(all, st)
			return s, every
		}
		beats := func(s *socket, every time.Duration) {
			time.Sleep(every + time.Millisecond)
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if !strings.Contains(s.got.String(), wire.Heartbeat) {
				t.Errorf("%v of silence", every)
			}
		}
		for range 8 { // every shard
			start(10 * time.Hour)
		}
		for range 8 {
			s, every := start(time.Second)
			beats(s, every)
		}
		shut(t, h)
		for _, st := range all {
			if err := <-st.ended; err == nil {
				t.Error("a stream ended without saying why")
			}
		}
	})
}

// hanging is a broker whose history does not answer.
type hanging struct{ push.Broker }

func (hanging) History(ctx context.Context, _ push.Query) (push.Page, error) {
	<-ctx.Done()
	return push.Page{}, ctx.Err()
}

func TestClientThatLeavesDoesNotWaitForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.NewHub(hanging{push.NewMemory()}, push.WithWindow(2, 1<<20))
		synctest.Wait()
		publishEach(t, h, 1, 10)
		synctest.Wait()
		st := prepared(t, h, &socket{}, push.FromOldest())
		st.Start()
		synctest.Wait()
		began := time.Now()
		st.Gone(errors.New("left"))
		if err := <-st.ended; !errors.Is(err, push.ErrGone) || time.Since(began) > 0 {
			t.Error(err, time.Since(began))
		}
		shut(t, h)
	})
}

// A page without an event that is the reader's moves it on; it does not wait
// then.
func TestStreamGoesOnAtOnceAfterAnEmptyPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := push.NewHub(struct{ push.Broker }{push.NewMemory()}, push.WithWindow(2, 1<<20))
		synctest.Wait()
		var ids []push.ID
		for range 10 {
			id, err := h.Publish(t.Context(), push.Event{Topic: "b"})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id...)
		}
		synctest.Wait()
		s := &socket{}
		st := prepared(t, h, s, push.AfterCursor(ids[1].String()))
		st.Start()
		synctest.Wait()
		publishEach(t, h, 11, 11)
		synctest.Wait() // no time passes
		if got, _ := events(s.got.Bytes()); len(got) != 1 {
			t.Errorf("%q", s.got.String())
		}
		shut(t, h)
		if err := <-st.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
	})
}

// exclusive notes who writes while somebody else does.
type exclusive struct {
	socket
	busy, broken atomic.Bool
}

func (e *exclusive) TryWrite(b []byte) (int, error) {
	if e.busy.Load() {
		e.broken.Store(true)
		return len(b), nil
	}
	return e.socket.TryWrite(b)
}

func (e *exclusive) Write(b []byte) (int, error) {
	e.busy.Store(true)
	defer e.busy.Store(false)
	return e.socket.Write(b)
}

func TestNobodyWritesWhileAFrameIsBeingFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := push.New(), &exclusive{}
		e.full, e.release = 10, make(chan struct{})
		st := prepared(t, h, e, push.FromHead(), push.WithHeartbeat(time.Second))
		st.Start()
		synctest.Wait()
		st.Inject([]byte("x\n"), false)
		publishEach(t, h, 1, 3)
		st.sub.Notify(push.Control{Name: "push.expiring"})
		time.Sleep(2 * time.Second) // a heartbeat
		st.sub.Disconnect(&push.CloseError{Code: push.CloseDrain})
		synctest.Wait()
		if e.broken.Load() || len(st.ended) > 0 {
			t.Error("written to, or ended, while a frame is half written")
		}
		close(e.release)
		if err := <-st.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
		shut(t, h)
	})
}
