package pushtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dualpush-go/dualpush/push"
)

var concurrentChecks = []check{
	{name: "Concurrent/use", run: concurrentUse,
		says: "All methods are safe for concurrent use."},
	{name: "Concurrent/nothing_appears_below", run: concurrentOrder,
		says: sayPage},
}

const (
	publishers   = 4
	perPublisher = 40
)

// burst publishes from many goroutines; done is closed when all is published.
func (b *subject) burst() (done chan struct{}) {
	done = make(chan struct{})
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range perPublisher {
				if _, err := b.Publish(b.Context(), ev(fmt.Sprint("t", p%3), fmt.Sprint(p, " ", i))); err != nil {
					b.Errorf("Publish: %v", err)
					return
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	b.Cleanup(func() { <-done })
	return done
}

// concurrentUse calls all methods at once; each publisher's events stay in
// order, and all readers see the same.
func concurrentUse(t *env) {
	b := t.open()
	start := b.head()
	tails := []*tailing{b.tail(start), b.tail(start)}
	done := b.burst()
	last := start
	forward := func() (fresh, all bool) {
		head := b.head()
		if head.Epoch != last.Epoch || head.Seq < last.Seq {
			t.Fatalf("the head moved from %+v to %+v", last, head)
		}
		fresh, last = head != last, head
		b.page(push.Query{Topics: []string{"t1"}, Latest: true, Limit: 5})
		return fresh, true
	}
	t.race(done, forward)
	for range 4 {
		forward()
	}
	all := b.all("**")
	if len(all) != publishers*perPublisher {
		t.Errorf("%d events were published at once, %d are in the log", publishers*perPublisher, len(all))
	}
	for _, r := range tails {
		same(t, "Tail", r.until(all[len(all)-1].ID), all)
	}
	for p := range publishers {
		mine := slices.DeleteFunc(slices.Clone(all), func(e push.Event) bool {
			return !strings.HasPrefix(string(e.Data), fmt.Sprint(p, " "))
		})
		for i, e := range mine {
			if string(e.Data) != fmt.Sprint(p, " ", i) {
				t.Fatalf("the events of a publisher are not in its order: %s", show(mine))
			}
		}
	}
}

// concurrentOrder reads the log page by page while it grows: whoever has seen
// a position has seen all that matches below it.
func concurrentOrder(t *env) {
	b := t.open()
	start := b.head()
	done := b.burst()
	var got []push.Event
	q := push.Query{Topics: []string{"**"}, After: start, Limit: 7}
	t.race(done, func() (fresh, all bool) {
		p := b.page(q)
		fresh = p.Upto != q.After
		got, q.After = append(got, p.Events...), p.Upto
		return fresh, p.Upto == b.head()
	})
	same(t, "page by page", got, b.all("**"))
}
