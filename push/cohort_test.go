package push_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
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
