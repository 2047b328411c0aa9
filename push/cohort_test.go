package push_test

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

// oneShard has the hubs that a test makes write with one goroutine: then all
// streams of a topic are one cohort.
func oneShard(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// together starts a stream of topic a for each connection and waits until they
// are a cohort.
func together(t *testing.T, h *push.Hub, conns []push.Conn, opts ...push.SubscribeOption) []*streamed {
	t.Helper()
	var all []*streamed
	for _, c := range conns {
		all = append(all, prepared(t, h, c, push.FromHead(), opts...))
	}
	for _, st := range all {
		st.Start()
	}
	wantTogether(t, h, len(conns))
	return all
}

func wantTogether(t *testing.T, h *push.Hub, n int) {
	t.Helper()
	synctest.Wait()
	if s := h.State(); s.Together != n {
		t.Fatalf("%d streams wait together, want %d", s.Together, n)
	}
	if err := h.CheckLog(); err != nil {
		t.Fatal(err)
	}
}

// publishBatch publishes "event from" up to "event to" in one call.
func publishBatch(t *testing.T, h *push.Hub, from, to int) {
	t.Helper()
	var data []string
	for i := from; i <= to; i++ {
		data = append(data, fmt.Sprint("event ", i))
	}
	publish(t, h, "a", data...)
}

func (s *socket) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got.Bytes())
}

func wantEvents(t *testing.T, what string, got []string, to int) {
	t.Helper()
	if want := sequences(1, to); !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want 1 to %d", what, got, to)
	}
}

// end shuts the hub down, which ends all streams, each once and with a reason.
func end(t *testing.T, h *push.Hub, all []*streamed) {
	t.Helper()
	shut(t, h)
	for _, st := range all {
		if err := <-st.ended; err == nil {
			t.Error("a stream ended without saying why")
		}
	}
	if s := h.State(); s.Parked != 0 {
		t.Errorf("%d readers are still parked", s.Parked)
	}
}

// three are sockets of which those in mask are made by odd.
func three(mask int, odd func() *socket) (socks []*socket, conns []push.Conn) {
	for i := range 3 {
		s := &socket{}
		if mask>>i&1 == 1 {
			s = odd()
		}
		socks, conns = append(socks, s), append(conns, s)
	}
	return socks, conns
}

// masks are which of three streams something befalls: the first, the last, two
// with one between them, all. Every other byte has one of them only.
func masks(at int) []int {
	if at%2 == 0 {
		return []int{0b111}
	}
	return []int{0b001, 0b100, 0b101, 0b111}
}

// TestShortWritesInACohortLoseAndDoubleNothing has some connections take n
// bytes at a time, for every n.
func TestShortWritesInACohortLoseAndDoubleNothing(t *testing.T) {
	oneShard(t)
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		for each := 1; each <= 240; each++ {
			for _, mask := range masks(each) {
				synctest.Test(t, func(t *testing.T) {
					h := newHub()
					socks, conns := three(mask, func() *socket { return &socket{} })
					all := together(t, h, conns)
					for i, s := range socks {
						if mask>>i&1 == 1 {
							s.each = each
						}
					}
					publishBatch(t, h, 1, 5)
					wantTogether(t, h, 3) // those that were cut are back
					publishEach(t, h, 6, 10)
					synctest.Wait()
					for _, s := range socks {
						got, _ := events(s.bytes())
						wantEvents(t, fmt.Sprintf("%d bytes at a time, mask %b", each, mask), got, 10)
					}
					end(t, h, all)
				})
			}
		}
	})
}

// TestCutInACohortResumesExactly fills some connections up at every byte, loses
// them there, and resumes on others.
func TestCutInACohortResumesExactly(t *testing.T) {
	oneShard(t)
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		for full := 1; full <= 420; full++ {
			for _, mask := range masks(full) {
				synctest.Test(t, func(t *testing.T) { cutTogether(t, newHub(), full, mask) })
			}
		}
	})
}

func cutTogether(t *testing.T, h *push.Hub, full, mask int) {
	release := make(chan struct{})
	socks, conns := three(mask, func() *socket { return &socket{release: release} })
	all := together(t, h, conns)
	cursors := make([]string, 3)
	for i, s := range socks {
		_, cursors[i] = events(s.bytes())
		s.got.Reset()
		if mask>>i&1 == 1 {
			s.full = full
		}
	}
	publishBatch(t, h, 1, 8)
	synctest.Wait()
	for i, s := range socks {
		if at := all[i].sub.Position(); mask>>i&1 == 1 && at.Seq < uint64(len(s.bytes())/50) {
			t.Fatalf("full at byte %d: the position is %d", full, at.Seq)
		}
		if mask>>i&1 == 1 {
			all[i].Gone(errors.New("cut"))
			s.lost = errors.New("cut")
		}
	}
	close(release)
	synctest.Wait()
	publishEach(t, h, 9, 10)
	synctest.Wait()
	for i, s := range socks {
		got, cursor := events(s.bytes())
		if mask>>i&1 == 1 {
			if err := <-all[i].ended; !errors.Is(err, push.ErrGone) {
				t.Fatal(err)
			}
			if cursor == "" {
				cursor = cursors[i]
			}
			again := &socket{}
			all[i] = stream(t, h, again, push.AfterCursor(cursor))
			synctest.Wait()
			after, _ := events(again.bytes())
			got = slices.Concat(got, after)
		}
		wantEvents(t, fmt.Sprintf("full at byte %d, mask %b, stream %d", full, mask, i), got, 10)
	}
	end(t, h, all)
}

// TestDrainInACohortFinishesTheFrame ends all streams while some connections have
// taken a part of a frame, at every byte.
func TestDrainInACohortFinishesTheFrame(t *testing.T) {
	oneShard(t)
	for full := 1; full <= 420; full++ {
		for _, mask := range masks(full) {
			synctest.Test(t, func(t *testing.T) {
				h := push.New()
				release := make(chan struct{})
				socks, conns := three(mask, func() *socket { return &socket{release: release} })
				all := together(t, h, conns)
				for i, s := range socks {
					if mask>>i&1 == 1 {
						s.full = s.got.Len() + full
					}
				}
				publishBatch(t, h, 1, 8)
				synctest.Wait()
				h.Disconnect(func(*push.Subscription) bool { return true }, &push.CloseError{Code: push.CloseDrain})
				synctest.Wait()
				close(release)
				for i, st := range all {
					err := <-st.ended
					if why, ok := errors.AsType[*push.CloseError](err); !ok || why.Code != push.CloseDrain {
						t.Fatal(err)
					}
					got, _ := events(socks[i].bytes())
					if b := socks[i].bytes(); b[len(b)-1] != '\n' {
						t.Fatalf("full at byte %d: the stream ends in the middle of a frame: %q", full, b)
					}
					wantEvents(t, "until it ended", got, len(got))
					if mask>>i&1 == 0 && len(got) != 8 {
						t.Fatalf("one that was not full got %v", got)
					}
				}
				shut(t, h)
			})
		}
	}
}

// Some of a cohort are stuck, also for longer than the log remembers.
func TestAStuckMemberHoldsItsCohortUpNot(t *testing.T) {
	oneShard(t)
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		for mask := 1; mask < 8; mask++ {
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				release := make(chan struct{})
				socks, conns := three(mask, func() *socket { return &socket{release: release} })
				all := together(t, h, conns)
				for i, s := range socks {
					if mask>>i&1 == 1 {
						s.full = s.got.Len() + 100
					}
				}
				for i := 0; i < 3000; i += 500 { // in one call more than a batch
					publishBatch(t, h, i+1, i+500)
					synctest.Wait()
				}
				for i, s := range socks {
					if got, _ := events(s.bytes()); mask>>i&1 == 0 {
						wantEvents(t, "a healthy one", got, 3000)
					} else if len(got) > 3 {
						t.Fatalf("a stuck one got %d events", len(got))
					}
				}
				close(release)
				wantTogether(t, h, 3)
				for i, s := range socks {
					got, _ := events(s.bytes())
					if mask>>i&1 == 1 && (len(got) < 1000 || got[len(got)-1] != "3000" || !strings.Contains(string(s.bytes()), `"reason":"lagged"`)) {
						t.Fatalf("a slow one got %d events", len(got))
					}
				}
				end(t, h, all)
			})
		}
	})
}

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

// A heartbeat comes after silence and only then, also to who got its last event
// together with others.
func TestHeartbeatsInACohort(t *testing.T) {
	oneShard(t)
	eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
		synctest.Test(t, func(t *testing.T) {
			h := newHub()
			socks, all := crowd(t, h, 3, push.WithHeartbeat(24*time.Second))
			beats := func(after time.Duration, want int) {
				t.Helper()
				time.Sleep(after)
				synctest.Wait()
				for _, s := range socks {
					if n := strings.Count(string(s.bytes()), wire.Heartbeat); n != want {
						t.Fatalf("%d heartbeats, want %d", n, want)
					}
				}
			}
			beats(20*time.Second, 0)
			publishBatch(t, h, 1, 1)
			beats(20*time.Second, 0) // 40 s
			beats(4*time.Second, 1)  // 44 s
			wantTogether(t, h, 3)
			publish(t, h, "elsewhere", "x")
			beats(24*time.Second, 2)
			for _, s := range socks {
				if _, cursor := events(s.bytes()); !strings.HasPrefix(cursor, "a2.") {
					t.Errorf("the heartbeat's position is %s", cursor)
				}
			}
			all[0].sub.Notify(push.Control{Name: "push.expiring"}) // leaves, with what the cohort said
			publishBatch(t, h, 2, 2)
			beats(20*time.Second, 2)
			end(t, h, all)
		})
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
