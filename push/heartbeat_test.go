package push_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// heartbeat reports whether b is one.
func heartbeat(b push.Batch) bool {
	return len(b.Messages) == 0 && b.Gap == nil && b.Controls == nil
}

// Failure 4: never more silence than the interval, and no chatter either.
func TestAHeartbeatComesAfterSilenceAndOnlyThen(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"}, push.WithHeartbeat(25*time.Second))
		last := time.Now()
		expect := func(after time.Duration, beat bool) {
			t.Helper()
			b, err := s.Next(t.Context())
			if err != nil || heartbeat(b) != beat || time.Since(last) != after {
				t.Fatalf("after %v: %s, %v; want a heartbeat (%v) after %v", time.Since(last), show(b), err, beat, after)
			}
			last = time.Now()
		}
		expect(25*time.Second, true)
		expect(25*time.Second, true)
		time.AfterFunc(10*time.Second, func() { publish(t, h, "a", "1") })
		expect(10*time.Second, false)
		expect(25*time.Second, true)
		time.AfterFunc(5*time.Second, func() { publish(t, h, "other", "x") })
		time.AfterFunc(24*time.Second, func() { s.Notify(push.Control{Name: "push.expiring"}) })
		expect(24*time.Second, false)
		time.AfterFunc(24*time.Second, func() { publish(t, h, "a", "1") })
		expect(24*time.Second, false)
		expect(25*time.Second, true)
		time.Sleep(time.Hour) // the connection took no bytes: one heartbeat is owed, not a hundred
		last = time.Now()
		expect(0, true)
		expect(25*time.Second, true)
	})
}

// socket.io 5282: the position of an idle client moves past what does not
// concern it, so that it never ages out of the log and no gap is told where
// nothing was missed.
func TestAnIdleClientDoesNotAgeOutOfTheLog(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 5, Age: time.Minute}))
		h := newHub(t, b, push.WithWindow(5, 1<<20))
		s := subscribe(t, h, push.FromHead(), []string{"quiet"}, push.WithHeartbeat(25*time.Second))
		stop := make(chan struct{})
		go func() { // topics come, overflow, age and go: the floor rises
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
					publishN(t, h, []string{"noisy/a", "noisy/b", "noisy/c"}[i/100%3], 20)
				}
			}
		}()
		defer close(stop)
		var cursor push.ID
		for range 50 {
			batch, err := s.Next(t.Context())
			if err != nil || !heartbeat(batch) {
				t.Fatalf("the idle reader got %s, %v", show(batch), err)
			}
			if batch.Upto.Seq < cursor.Seq+400 {
				t.Fatalf("the heartbeat moved the position from %d to %d only", cursor.Seq, batch.Upto.Seq)
			}
			cursor = batch.Upto
			again := subscribe(t, h, push.After(cursor), []string{"quiet"})
			if data, gaps := drain(t, again); data != nil || gaps != nil {
				t.Fatalf("resumed at the heartbeat it got %q, gaps %v", data, gaps)
			}
			again.Close()
		}
		if at := s.Position(); at.Seq < cursor.Seq {
			t.Errorf("Position is %v, the heartbeat said %v", at, cursor)
		}
	})
}

// Whoever waited is at the head when the event that it waited for comes, far
// above what was removed meanwhile.
func TestAnIdleReaderThatIsWokenIsToldOfNoGap(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 2}))
		h := newHub(t, b, push.WithWindow(2, 1<<20))
		for _, topics := range [][]string{{"quiet"}, {"quiet/**"}, {"quiet", "other/*"}} {
			s := subscribe(t, h, push.FromHead(), topics)
			waiting := startNext(t.Context(), s)
			synctest.Wait()
			for range 10 {
				publish(t, h, "noisy", "x")
				synctest.Wait() // a window sees them all
			}
			publish(t, h, "gone", "x")
			synctest.Wait()
			if err := b.Purge(t.Context(), "gone"); err != nil { // the floor rises
				t.Fatal(err)
			}
			at, _ := h.Head(t.Context())
			publish(t, h, "quiet", "now")
			if got := <-waiting; got.err != nil || got.batch.Gap != nil || len(got.batch.Messages) != 1 || got.batch.From != at {
				t.Errorf("%q: got %s, %v; want one event from %d", topics, show(got.batch), got.err, at.Seq)
			}
		}
	})
}

func TestNoHeartbeatUnlessAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := memoryHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		p := startNext(t.Context(), s)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		select {
		case got := <-p:
			t.Errorf("Next returned %s, %v", show(got.batch), got.err)
		default:
		}
	})
}

// A heartbeat comes after silence and only then, also to who got its last event
// together with others.
func TestHeartbeatsInACohort(t *testing.T) {
	oneShard(t)
	for _, n := range []int{1, 3} { // one that leaves takes its cohort with it
		eitherHub(t, func(t *testing.T, newHub func() *push.Hub) {
			synctest.Test(t, func(t *testing.T) { heartbeatsTogether(t, newHub(), n) })
		})
	}
}

func heartbeatsTogether(t *testing.T, h *push.Hub, n int) {
	subscribe(t, h, push.FromHead(), []string{"a"})
	defer kill(h)
	socks, all := crowd(t, h, n, push.WithHeartbeat(24*time.Second))
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
	synctest.Wait()
	for _, st := range all { // leaves and comes back
		st.Inject([]byte("x push.pong\n"), true)
	}
	beats(20*time.Second, 0) // 40 s
	beats(4*time.Second, 1)  // 44 s
	wantTogether(t, h, n)
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
	for _, st := range all {
		st.sub.Disconnect(&push.CloseError{Code: push.CloseDrain})
		if err := <-st.ended; err == nil {
			t.Error("ended without a reason")
		}
	}
}
