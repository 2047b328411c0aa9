package push_test

import (
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

// standing is a connection at which the writer stands still while it is closed.
type standing struct {
	socket
	gate chan struct{} // nil: go on
}

func (s *standing) TryWrite(b []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	return s.socket.TryWrite(b)
}

// crowd is a cohort of n in which the writer can be stopped at any member.
func crowd(t *testing.T, h *push.Hub, n int, opts ...push.SubscribeOption) ([]*standing, []*streamed) {
	t.Helper()
	var socks []*standing
	var conns []push.Conn
	for range n {
		s := &standing{}
		socks, conns = append(socks, s), append(conns, s)
	}
	return socks, together(t, h, conns, opts...)
}

// Members that were handed a batch have another position than those that were
// not, and both may leave while it is written.
func TestMembersLeaveWhileABatchIsWritten(t *testing.T) {
	oneShard(t)
	const n = 100 // several turns
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		for _, stop := range []int{0, 1, 31, 32, 40, 63, 64, 99} {
			for _, leaver := range []int{0, 1, 30, 31, 32, 33, 63, 64, 98, 99} {
				synctest.Test(t, func(t *testing.T) {
					h := newHub()
					socks, all := crowd(t, h, n)
					gate := make(chan struct{})
					socks[stop].gate = gate
					publishBatch(t, h, 1, 2)
					synctest.Wait()
					at, err := all[leaver].sub.Update([]string{"b"}, nil, "")
					if err != nil {
						t.Fatal(err)
					}
					turns := uint64(stop/32+1) * 32
					if handed := uint64(leaver) < turns; handed != (at.Seq == 2) || at != all[leaver].sub.Position() {
						t.Fatalf("stopped at %d: the position of %d is %d", stop, leaver, at.Seq)
					}
					for i, st := range all {
						if seqs, _ := events(socks[i].bytes()); st.sub.Position().Seq < uint64(len(seqs)) {
							t.Fatalf("stopped at %d: %d of %d has %v", stop, i, st.sub.Position().Seq, seqs)
						}
					}
					if err := h.CheckLog(); err != nil {
						t.Fatal(err)
					}
					publishBatch(t, h, 3, 4)
					close(gate)
					wantTogether(t, h, n-1)
					for i := range all {
						got, _ := events(socks[i].bytes())
						wantEvents(t, fmt.Sprintf("stopped at %d, %d left, stream %d", stop, leaver, i), got, 4)
					}
					end(t, h, all)
				})
			}
		}
	})
}

// Failure 57, for streams that came with credentials that run out.
func TestACohortEndsWithItsCredentials(t *testing.T) {
	oneShard(t)
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		socks, all := crowd(t, h, 40, push.WithExpiry(time.Now().Add(time.Minute)))
		publishBatch(t, h, 1, 1)
		synctest.Wait()
		time.Sleep(time.Minute)
		publishBatch(t, h, 2, 2)
		synctest.Wait()
		for i, st := range all {
			if got, _ := events(socks[i].bytes()); len(got) != 1 || len(st.ended) == 0 {
				t.Fatalf("stream %d got %v; ended: %v", i, got, len(st.ended) > 0)
			}
			wantExpired(t, "a member", <-st.ended)
		}
		shut(t, h)
	})
}

// Failure 57, while a batch is written: a member that was asked already gets
// credentials that run out sooner.
func TestExpiryThatComesWhileABatchIsWrittenHolds(t *testing.T) {
	oneShard(t)
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		socks, all := crowd(t, h, 40)
		all[39].sub.SetExpiry(time.Now()) // so that all are asked
		gate := make(chan struct{})
		socks[0].gate = gate
		publishBatch(t, h, 1, 1)
		synctest.Wait()
		all[0].sub.SetExpiry(time.Now().Add(time.Minute))
		close(gate)
		synctest.Wait()
		if err := h.CheckLog(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		publishBatch(t, h, 2, 2)
		synctest.Wait()
		for i, want := range map[int]int{0: 1, 1: 2, 38: 2, 39: 0} {
			if got, _ := events(socks[i].bytes()); len(got) != want {
				t.Errorf("stream %d got %v, want %d events", i, got, want)
			}
		}
		for _, i := range []int{0, 39} {
			if len(all[i].ended) == 0 {
				t.Fatalf("stream %d goes on", i)
			}
			wantExpired(t, "a member", <-all[i].ended)
		}
		end(t, h, all[1:39])
	})
}

// tally counts how often each event was written.
type tally struct {
	mu   sync.Mutex
	seqs map[string]int
}

func (c *tally) TryWrite(b []byte) (int, error) {
	got, _ := events(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seq := range got {
		c.seqs[seq]++
	}
	return len(b), nil
}

func (c *tally) Write(b []byte) (int, error) { return c.TryWrite(b) }

// Large events do not fit into one write, and more events than a batch come as
// several: nobody is passed over in between, in no turn.
func TestACohortGetsAllOfALargeBurst(t *testing.T) {
	oneShard(t)
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		c := &tally{seqs: map[string]int{}}
		all := together(t, h, slices.Repeat([]push.Conn{c}, 70))
		n := 0
		for _, size := range []int{1, 1000, 40_000, 70_000, 200_000} {
			for _, burst := range []int{1, 3, 300} {
				if size*burst > 1<<21 {
					continue
				}
				data := slices.Repeat([]string{strings.Repeat("x", size)}, burst)
				n += burst
				publish(t, h, "a", data...)
				wantTogether(t, h, 70)
			}
		}
		for seq := 1; seq <= n; seq++ {
			if got := c.seqs[fmt.Sprint(seq)]; got != 70 {
				t.Fatalf("event %d came %d times", seq, got)
			}
		}
		end(t, h, all)
	})
}

// What was published before the hub ended is written to all of a cohort, or the
// stream ends: nobody stays behind.
func TestAHubThatEndsWhileABatchIsWritten(t *testing.T) {
	oneShard(t)
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		socks, all := crowd(t, h, 100)
		gate := make(chan struct{})
		socks[40].gate = gate
		publishBatch(t, h, 1, 2)
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.Shutdown(ctx)
		close(gate)
		synctest.Wait()
		for i, st := range all {
			if err := <-st.ended; wire.Ending(err) == nil {
				t.Errorf("stream %d: %v", i, err)
			}
		}
		if s := h.State(); s.Parked != 0 || h.Subscriptions() != 0 {
			t.Errorf("left is %+v", s)
		}
	})
}

// A cohort that has been written joins those that came to wait meanwhile,
// fewer or more, and takes along when credentials run out.
func TestACohortJoinsThoseThatWaitAlready(t *testing.T) {
	oneShard(t)
	for _, newcomers := range []int{1, 60} {
		synctest.Test(t, func(t *testing.T) {
			h := push.New()
			socks, all := crowd(t, h, 40)
			all[35].sub.SetExpiry(time.Now().Add(time.Minute))
			gate := make(chan struct{})
			socks[0].gate = gate
			publishBatch(t, h, 1, 1)
			synctest.Wait()
			for range newcomers { // they are served between the turns of the others
				late := &standing{}
				all, socks = append(all, prepared(t, h, late, push.FromHead())), append(socks, late)
				all[len(all)-1].Start()
			}
			close(gate)
			wantTogether(t, h, 40+newcomers)
			time.Sleep(time.Minute)
			publishBatch(t, h, 2, 2)
			synctest.Wait()
			for i, s := range socks {
				got, _ := events(s.bytes())
				if want := map[bool]int{true: 2, false: 1}[i < 40 && i != 35]; len(got) != want {
					t.Errorf("%d came late: stream %d got %v", newcomers, i, got)
				}
			}
			wantExpired(t, "a member", <-all[35].ended)
			end(t, h, slices.Delete(all, 35, 36))
		})
	}
}

// A broker that is closed by somebody else than the hub ends all that wait.
func TestABrokerThatIsClosedEndsACohort(t *testing.T) {
	oneShard(t)
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		h := newHub(t, b)
		_, all := crowd(t, h, 3)
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, st := range all {
			if len(st.ended) == 0 {
				t.Fatal("a stream goes on")
			}
			if err := <-st.ended; !errors.Is(err, push.ErrClosed) {
				t.Error(err)
			}
		}
	})
}

// Who waits together is at the head, above what was removed from other topics
// meanwhile: no gap is told, and the position does not go back.
func TestACohortThatIsWokenIsToldOfNoGap(t *testing.T) {
	oneShard(t)
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 2}))
		h := newHub(t, b, push.WithWindow(2, 1<<20))
		socks, all := crowd(t, h, 40)
		for range 10 {
			publish(t, h, "noisy", "x")
			synctest.Wait() // a window sees them all
		}
		publish(t, h, "gone", "x")
		synctest.Wait()
		if err := b.Purge(t.Context(), "gone"); err != nil { // the floor rises
			t.Fatal(err)
		}
		head, _ := h.Head(t.Context())
		gate := make(chan struct{})
		socks[0].gate = gate
		publish(t, h, "a", "now")
		synctest.Wait()
		for i, st := range all { // some were handed it, some were not
			if at := st.sub.Position(); at.Seq < head.Seq {
				t.Fatalf("stream %d was at %d, now at %d", i, head.Seq, at.Seq)
			}
		}
		close(gate)
		wantTogether(t, h, 40)
		for i, s := range socks {
			if got, _ := events(s.bytes()); len(got) != 1 || strings.Contains(string(s.bytes()), wire.Gap) {
				t.Fatalf("stream %d: %s", i, s.bytes())
			}
		}
	})
}

// tired is a connection that counts what is written once it is lost.
type tired struct {
	standing
	after int
}

func (c *tired) TryWrite(b []byte) (int, error) {
	if c.lost != nil {
		c.after++
	}
	return c.standing.TryWrite(b)
}

// The owner of a stream may take its time to close it once it has ended: nothing
// is written any more, and it ends once.
func TestAStreamThatEndedIsInNoCohort(t *testing.T) {
	oneShard(t)
	synctest.Test(t, func(t *testing.T) {
		h := push.New()
		_, others := crowd(t, h, 2)
		sub := subscribe(t, h, push.FromHead(), []string{"a"})
		c, ended := &tired{}, make(chan error, 9)
		st := sub.NewStream(c, wire.Frames{Framer: lines{}}, func(err error) { ended <- err })
		st.Start()
		wantTogether(t, h, 3)
		c.lost = errors.New("lost")
		for i := range 3 {
			publishBatch(t, h, i+1, i+1)
			wantTogether(t, h, 2)
		}
		if len(ended) != 1 || c.after != 1 {
			t.Errorf("it ended %d times, %d writes", len(ended), c.after)
		}
		sub.Close()
		end(t, h, others)
	})
}

// Whoever waits for its connection to take an injected piece is in no cohort.
func TestNobodyWritesWhileWhatWasInjectedIsFinished(t *testing.T) {
	oneShard(t)
	synctest.Test(t, func(t *testing.T) {
		h, e := push.New(), &exclusive{}
		e.release = make(chan struct{})
		all := together(t, h, []push.Conn{&socket{}, e, &socket{}})
		e.full = e.got.Len() + 3
		all[1].Inject([]byte("x push.pong\n"), false)
		wantTogether(t, h, 2)
		publishBatch(t, h, 1, 3)
		wantTogether(t, h, 2)
		close(e.release)
		wantTogether(t, h, 3)
		if e.broken.Load() {
			t.Error("written to while a piece is half written")
		}
		if got, _ := events(e.bytes()); !slices.Equal(got, sequences(1, 3)) {
			t.Errorf("got %v", got)
		}
		end(t, h, all)
	})
}
