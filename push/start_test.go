package push_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
)

func TestWhereASubscriptionStarts(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		before := publishN(t, memoryHub(t, b), "a", 4)
		h := newHub(t, b)
		publish(t, h, "b", "b")
		synctest.Wait()
		for name, c := range map[string]struct {
			from push.Start
			want []string
			gap  push.Reason
		}{
			"head":        {push.FromHead(), nil, ""},
			"no cursor":   {push.AfterCursor(""), nil, ""},
			"oldest":      {push.FromOldest(), []string{"0", "1", "2", "3"}, ""},
			"0":           {push.AfterCursor("0"), []string{"0", "1", "2", "3"}, ""},
			"cursor":      {push.AfterCursor(before[1].String()), []string{"2", "3"}, ""},
			"the end":     {push.After(before[3]), nil, ""},
			"other topic": {push.After(push.ID{Epoch: before[0].Epoch, Seq: 5}), nil, ""},
			"last 2":      {push.Last(2), []string{"2", "3"}, ""},
			"last 9":      {push.Last(9), []string{"0", "1", "2", "3"}, ""},
			"last 0":      {push.Last(0), nil, ""},
			"junk":        {push.AfterCursor("\x00junk"), []string{"0", "1", "2", "3"}, push.ReasonEpoch},
			"beyond":      {push.After(push.ID{Epoch: before[0].Epoch, Seq: 99}), []string{"0", "1", "2", "3"}, push.ReasonEpoch},
			"bad check":   {push.After(push.ID{Epoch: before[0].Epoch, Seq: 2, Check: 4}), []string{"0", "1", "2", "3"}, push.ReasonEpoch},
			"other epoch": {push.After(push.ID{Epoch: 7, Seq: 2}), []string{"0", "1", "2", "3"}, push.ReasonEpoch},
		} {
			data, gaps := drain(t, subscribe(t, h, c.from, []string{"a"}))
			if !slices.Equal(data, c.want) {
				t.Errorf("%s: got %q, want %q", name, data, c.want)
			}
			if c.gap == "" && len(gaps) > 0 || c.gap != "" && (len(gaps) != 1 || gaps[0].Reason != c.gap) {
				t.Errorf("%s: gaps %v, want %q", name, gaps, c.gap)
			}
		}
	})
}

// A pattern that few of many events match, with and without a reader at the
// head who has no need of them.
func TestAPatternFindsTheFewEventsThatMatch(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		m := memoryHub(t, b)
		var want []string
		for i := range 1000 {
			topic := fmt.Sprint("many/", i%90)
			if i%50 == 0 {
				topic = fmt.Sprint("few/", i%3)
				want = append(want, strconv.Itoa(i))
			}
			publish(t, m, topic, strconv.Itoa(i))
		}
		h := newHub(t, b)
		for what, n := range map[string]int{"nobody": 0, "a reader at the head": 1} {
			for range n {
				subscribe(t, h, push.FromHead(), []string{"few/*"})
			}
			if data := history(t, b, "few/*"); !slices.Equal(data, want) {
				t.Errorf("beside %s: history is %q", what, data)
			}
			last := subscribe(t, h, push.Last(3), []string{"few/*"})
			if data, _ := drain(t, last); !slices.Equal(data, want[len(want)-3:]) {
				t.Errorf("beside %s: the last 3 are %q", what, data)
			}
			oldest := subscribe(t, h, push.FromOldest(), []string{"few/*"})
			if data, gaps := drain(t, oldest); !slices.Equal(data, want) || gaps != nil {
				t.Errorf("beside %s: got %q, gaps %v", what, data, gaps)
			}
			last.Close()
			oldest.Close()
		}
	})
}

func TestWhatWasRemovedBeforeTheOldestIsNoGap(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 3}))
		publishN(t, memoryHub(t, b), "a", 10)
		h := newHub(t, b)
		for _, topic := range []string{"a", "*", "nobody"} {
			data, gaps := drain(t, subscribe(t, h, push.FromOldest(), []string{topic}))
			if gaps != nil || topic != "nobody" && !slices.Equal(data, []string{"7", "8", "9"}) {
				t.Errorf("%s: got %q, gaps %v", topic, data, gaps)
			}
		}
	})
}

// Failure 39: what is removed while a long replay from the oldest event runs
// is told, though much was removed before.
func TestATrimDuringAReplayFromTheOldestIsTold(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		h := newHub(t, b)
		for _, topics := range [][]string{{"quiet", "gone"}, {"*"}} {
			publishN(t, h, "quiet", 600)
			publish(t, h, "gone", "x") // the newest that is removed before the reader comes
			if err := b.Purge(t.Context(), "gone"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			s := subscribe(t, h, push.FromOldest(), topics)
			batch := next(t, s)
			if err := b.Purge(t.Context(), "quiet"); err != nil {
				t.Fatal(err)
			}
			end := publish(t, h, "quiet", "next")[0]
			synctest.Wait()
			var gaps []push.Gap
			for at := batch.Messages[0].ID.Seq - 1; at < end.Seq; batch = next(t, s) {
				if batch.Gap != nil {
					gaps = append(gaps, *batch.Gap)
				}
				for _, m := range batch.Messages {
					for at++; at < m.ID.Seq; at++ {
						told := func(g push.Gap) bool { return g.From.Seq < at && at <= g.To.Seq }
						if !slices.ContainsFunc(gaps, told) {
							t.Fatalf("%q: event %d is missing before %s: a silent hole", topics, at, show(batch))
						}
					}
				}
				if at == end.Seq {
					break
				}
			}
		}
	})
}

// A tail from the oldest event delivers what was there when it began, whatever
// is removed meanwhile.
func TestATailFromTheOldestSkipsNothingSilently(t *testing.T) {
	b := push.NewMemory()
	h := memoryHub(t, b)
	publishN(t, h, "quiet", 600)
	publish(t, h, "gone", "x")
	if err := b.Purge(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	var got []string
	stop := errors.New("stop")
	err := b.Tail(t.Context(), push.ID{}, func(events []push.Event) error {
		if got == nil {
			if err := b.Purge(context.Background(), "quiet"); err != nil {
				return err
			}
			publish(t, h, "quiet", "600")
		}
		for _, e := range events {
			got = append(got, string(e.Data))
		}
		if got[len(got)-1] == "600" {
			return stop
		}
		return nil
	})
	var gap *push.TailGap
	if errors.As(err, &gap) && gap.From.Seq == uint64(len(got)) {
		return // it was told
	}
	if err != stop || len(got) != 601 {
		t.Fatalf("Tail delivered %d events and returned %v", len(got), err)
	}
	for i, data := range got {
		if data != strconv.Itoa(i) {
			t.Fatalf("event %d is %s", i, data)
		}
	}
}

// ?last=n means n events, however large they are.
func TestLastNIsNotCutShortByTheSizeOfEvents(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		m := memoryHub(t, b)
		for i := range 12 {
			publish(t, m, "a", fmt.Sprintf("%d%0300000d", i%10, 0))
		}
		h := newHub(t, b)
		data, gaps := drain(t, subscribe(t, h, push.Last(10), []string{"a"}))
		if len(data) != 10 || data[0][0] != '2' || gaps != nil {
			t.Errorf("Last(10) starts with %d events, gaps %v", len(data), gaps)
		}
	})
}

// Failure 42: a replay larger than any buffer arrives whole, in order, in
// batches of bounded size.
func TestAReplayLargerThanAnyBufferIsPaged(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: -1}))
		m := memoryHub(t, b)
		big := strings.Repeat("x", 10_000)
		for i := range 2000 {
			publish(t, m, []string{"a", "b", "c"}[i%3], big)
		}
		for i := range 2000 {
			publish(t, m, []string{"a", "b", "c"}[i%3], strconv.Itoa(i))
		}
		h := newHub(t, b)
		s := subscribe(t, h, push.FromOldest(), []string{"a", "c", "*"})
		seq := uint64(0)
		for seq < 4000 {
			batch := next(t, s)
			if batch.Gap != nil || len(batch.Messages) > 256 || size(batch) > 1<<20+len(big) {
				t.Fatalf("a batch of %d events, %d bytes, gap %v", len(batch.Messages), size(batch), batch.Gap)
			}
			for _, m := range batch.Messages {
				if seq++; m.ID.Seq != seq {
					t.Fatalf("event %d where %d belongs", m.ID.Seq, seq)
				}
			}
		}
		nothing(t, s)
	})
}

func size(b push.Batch) (n int) {
	for _, m := range b.Messages {
		n += len(m.Data)
	}
	return n
}

// An unread cursor of a subscription that starts somewhere is one that it can
// be resumed with: it exists from push.open (I5).
func TestThePositionBeforeTheFirstBatchResumes(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		publishN(t, memoryHub(t, b), "a", 4)
		h := newHub(t, b)
		for name, from := range map[string]push.Start{
			"head": push.FromHead(), "oldest": push.FromOldest(), "last": push.Last(2), "junk": push.AfterCursor("x"),
		} {
			want, wantGaps := drain(t, subscribe(t, h, from, []string{"a"}))
			cursor := subscribe(t, h, from, []string{"a"}).Position().String()
			got, gaps := drain(t, subscribe(t, h, push.AfterCursor(cursor), []string{"a"}))
			if !slices.Equal(got, want) || len(gaps) != len(wantGaps) {
				t.Errorf("%s: resumed with %s it got %q, gaps %v; want %q, %v", name, cursor, got, gaps, want, wantGaps)
			}
		}
	})
}
