package push_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// The steps of which every interleaving is tried.
const (
	stepPublish = 'P' // one event, to a and b in turn
	stepTrim    = 'T' // a loses all its events
	stepCut     = 'D' // the connection breaks
	stepResume  = 'R' // and comes back with the client's cursor
	stepRead    = 'N' // the reader asks for a batch, and gets it when there is one
	stepTail    = 'W' // the window's feed, which stalls, goes on
	stepAnswer  = 'H' // a late answer of History, read before, arrives
)

// seamCase is one way to look at the seam between history and live.
type seamCase struct {
	window  bool
	count   int    // events retained of a topic
	steps   string // each as often as it is to happen
	from    string // head, oldest, after: where the reader starts
	topics  string
	eager   bool // the reader always asks for the next batch
	arrived int  // how many events of the batch in flight arrive when the connection breaks; -1: not even its gap
}

func (c seamCase) String() string {
	return fmt.Sprintf("window=%v/count=%d/from=%s/topics=%s/eager=%v/arrived=%d/%s",
		c.window, c.count, c.from, c.topics, c.eager, c.arrived, c.steps)
}

// Failure 40: whatever the order of ≤ 3 publishes, a trim, a disconnect and a
// resume, nothing is lost, doubled or passed over in silence where history
// hands over to live. Every interleaving is tried, also with a trim that the
// third publish makes, with a window whose feed lags, and with answers of
// History that are old when they arrive.
func TestNothingFallsIntoTheSeamBetweenHistoryAndLive(t *testing.T) {
	for _, window := range []bool{false, true} {
		for _, from := range []string{"head", "oldest", "after"} {
			c := seamCase{window: window, from: from, eager: true}
			for _, c.topics = range []string{"a b", "*"} {
				c.run(t, "")
			}
			c.eager = false
			for i, topics := range []string{"a b", "*", "a b", "*"} {
				c.topics, c.arrived = topics, []int{9, 0, 1, -1}[i]
				if !window || i == 0 || i > 1 && from == "after" { // the many orders of a window: below it, where it matters
					c.run(t, "N")
				}
			}
		}
	}
}

func (c seamCase) run(t *testing.T, reads string) {
	extra := []string{""}
	if c.window {
		extra = []string{"W"}
		if c.from == "after" && c.arrived == 9 {
			extra = []string{"W", "H"}
		}
	}
	for _, e := range extra {
		c.count, c.steps = 10, "PPPTDR"+e+reads
		c.runAll(t)
		c.count, c.steps = 1, "PPPDR"+e+reads
		c.runAll(t)
	}
}

func (c seamCase) runAll(t *testing.T) {
	t.Run(c.String(), func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			interleave(c.steps, func(order string) {
				if err := c.try(order); err != nil {
					t.Fatalf("order %s: %v", order, err)
				}
			})
		})
	})
}

// interleave calls f with every distinct order of steps in which the resume
// comes after the disconnect.
func interleave(steps string, f func(order string)) {
	var walk func(left []rune, done []rune)
	walk = func(left, done []rune) {
		if len(left) == 0 {
			f(string(done))
			return
		}
		for i, s := range left {
			if strings.ContainsRune(string(left[:i]), s) ||
				s == stepResume && strings.ContainsRune(string(left), stepCut) {
				continue
			}
			rest := append(append([]rune{}, left[:i]...), left[i+1:]...)
			walk(rest, append(slices.Clip(done), s))
		}
	}
	walk([]rune(steps), nil)
}

// seamRun is one interleaving.
type seamRun struct {
	seamCase
	w      *world
	b      *faultBroker
	hub    *push.Hub
	conn   *conn
	placed int // publishes so far
}

func (c seamCase) try(order string) (err error) {
	r := &seamRun{seamCase: c, w: newWorld()}
	r.b = newFaultBroker(push.Rules(push.Rule{Pattern: "**", Retention: push.Retention{Count: c.count}}))
	first, err := r.publish(2)
	if err != nil {
		return err
	}
	var b push.Broker = r.b.log
	if c.window {
		b = r.b
	}
	r.hub = push.NewHub(b)
	defer kill(r.hub)
	synctest.Wait()
	r.b.hold(strings.ContainsRune(order, stepTail))
	r.b.holdHistory(strings.ContainsRune(order, stepAnswer))
	cl := newClient(r.w, strings.Fields(c.topics))
	r.conn = &conn{hub: r.hub, client: cl, eager: c.eager}
	defer func() { _ = r.conn.cut(-1) }()
	if err := r.start(first); err != nil {
		return err
	}
	for i, s := range order {
		if err := r.step(s); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return r.settle()
}

func (r *seamRun) start(first push.ID) error {
	switch r.from {
	case "oldest":
		return r.conn.open(push.FromOldest())
	case "after":
		r.conn.pos, r.conn.sound = first, true
		return r.conn.open(push.After(first))
	}
	return r.conn.open(push.FromHead())
}

func (r *seamRun) publish(n int) (first push.ID, err error) {
	for range n {
		e := push.Event{Topic: []string{"a", "b"}[r.placed%2], Data: fmt.Appendf(nil, "%d", r.placed)}
		r.placed++
		ids, err := r.b.log.Publish(context.Background(), e)
		if err != nil {
			return first, err
		}
		r.w.published(e, ids[0])
		if first.IsZero() {
			first = ids[0]
		}
	}
	return first, r.w.look(r.b.log)
}

func (r *seamRun) step(s rune) error {
	var err error
	switch s {
	case stepPublish:
		_, err = r.publish(1)
	case stepTrim:
		if err = r.b.log.Purge(context.Background(), "a"); err == nil {
			err = r.w.look(r.b.log)
		}
	case stepCut:
		err = r.conn.cut(r.arrived)
	case stepResume:
		err = r.conn.open(push.After(r.conn.pos))
	case stepRead:
		err = r.conn.read()
	case stepTail:
		r.b.hold(false)
	case stepAnswer:
		r.b.holdHistory(false)
	}
	if err != nil {
		return err
	}
	synctest.Wait()
	return r.conn.take()
}

// settle lets everything arrive: then the reader must be at the head (I10).
func (r *seamRun) settle() error {
	r.b.hold(false)
	r.b.holdHistory(false)
	time.Sleep(time.Second)
	if err := r.conn.readAll(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	head, _ := r.b.log.Head(context.Background())
	if at := r.conn.sub.Position(); at != head {
		return fmt.Errorf("I10: the reader is at %v, the head is %v", at, head)
	}
	return nil
}
