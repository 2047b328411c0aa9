package push_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Failure 16: a thousand come back at once, at positions that lie close
// together and below the window.
func TestAHerdSharesItsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, events = 200, 1000
		b := newFaultBroker()
		h := faultyHub(t, b, push.WithWindow(1, 1<<20))
		ids := publishN(t, h, "a", events)
		synctest.Wait()
		b.takes = time.Millisecond
		got, done := make([][]string, readers), make(chan int, readers)
		for i := range readers {
			s := subscribe(t, h, push.After(ids[i%10]), []string{"a"})
			go func() {
				defer func() { done <- i }()
				for len(got[i]) < events-1-i%10 {
					batch, err := s.Next(context.Background())
					if err != nil || batch.Gap != nil {
						t.Errorf("reader %d: %v, %+v", i, err, batch.Gap)
						return
					}
					got[i] = append(got[i], texts(batch)...)
				}
			}()
		}
		for range readers {
			<-done
		}
		want := make([]string, events)
		for i := range want {
			want[i] = fmt.Sprint(i)
		}
		for i := range got {
			if !slices.Equal(got[i], want[1+i%10:]) {
				t.Fatalf("reader %d got %d events, want %d, or others", i, len(got[i]), len(want)-1-i%10)
			}
		}
		if asked := b.asked.Load(); asked > 25 { // each alone: a thousand times; how many of the ten positions share a page is the scheduler's
			t.Errorf("the broker was asked %d times for %d readers", asked, readers)
		}
	})
}

// A cursor that is wrong must not pass as right because somebody else's page
// covers it.
func TestASharedReadVerifiesEachCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		h := faultyHub(t, b, push.WithWindow(1, 1<<20))
		ids := publishN(t, h, "a", 10)
		synctest.Wait()
		b.holdHistory(true)
		right := startNext(context.Background(), subscribe(t, h, push.After(ids[1]), []string{"a"}))
		synctest.Wait()
		forged := ids[4]
		forged.Check ^= 1
		wrong := startNext(context.Background(), subscribe(t, h, push.After(forged), []string{"a"}))
		synctest.Wait()
		b.holdHistory(false)
		if r := <-right; r.err != nil || r.batch.Gap != nil || len(texts(r.batch)) != 8 {
			t.Errorf("the right cursor: %v, %+v, %q", r.err, r.batch.Gap, texts(r.batch))
		}
		if r := <-wrong; r.err != nil || r.batch.Gap == nil || r.batch.Gap.Reason != push.ReasonEpoch {
			t.Errorf("the forged cursor: %v, %+v", r.err, r.batch.Gap)
		}
	})
}

// Who started a read may leave before it ends; the others have their page.
func TestWhoStartedASharedReadMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		h := faultyHub(t, b, push.WithWindow(1, 1<<20))
		publishN(t, h, "a", 10)
		synctest.Wait()
		b.holdHistory(true)
		ctx, leave := context.WithCancel(context.Background())
		first := startNext(ctx, subscribe(t, h, push.FromOldest(), []string{"a"}))
		synctest.Wait()
		second := startNext(context.Background(), subscribe(t, h, push.FromOldest(), []string{"a"}))
		synctest.Wait()
		leave()
		if r := <-first; r.err == nil {
			t.Error("the one who left got a page")
		}
		b.holdHistory(false)
		if r := <-second; r.err != nil || len(texts(r.batch)) != 10 {
			t.Errorf("the other got %q, %v", texts(r.batch), r.err)
		}
		if n := b.asked.Load(); n != 1 {
			t.Errorf("the broker was asked %d times", n)
		}
	})
}
