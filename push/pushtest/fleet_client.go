package pushtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// fleetClient reads from whatever node answers, on one cursor.
type fleetClient struct {
	run     *fleetRun
	topics  []string
	started chan struct{} // closed when it knows where it starts
	mark    chan string   // the marks it got

	mu       sync.Mutex
	connects int
	pos      push.ID // its cursor
	last     push.ID // of the newest event
	past     []uint64
	got      map[string]int // how often, by Data
	ids      map[string]push.ID
	gaps     []fleetGap
	errs     []error
}

func (c *fleetClient) position() push.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pos
}

func (c *fleetClient) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// read reads until the run ends.
func (c *fleetClient) read() {
	for c.run.ctx.Err() == nil {
		c.connection()
		c.run.breathe()
	}
}

func (c *fleetClient) connection() {
	conn, err := c.run.dial()
	if err != nil {
		return
	}
	stop := context.AfterFunc(c.run.ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	q := ask{Topics: c.topics}
	if pos := c.position(); !pos.IsZero() {
		q.After = pos.String()
	}
	if json.NewEncoder(conn).Encode(q) != nil {
		return
	}
	in := json.NewDecoder(conn)
	for first := true; ; first = false {
		var t told
		if in.Decode(&t) != nil || t.Error != "" {
			return
		}
		c.mu.Lock()
		if first {
			c.connected(t)
		} else {
			c.take(t)
		}
		c.mu.Unlock()
	}
}

// connected takes a node's first line. A resume starts where the cursor is.
func (c *fleetClient) connected(t told) {
	c.connects++
	switch {
	case c.pos.IsZero():
		c.pos = t.Upto
		close(c.started)
	case t.Upto != c.pos:
		c.failf("resumed at %v, the node starts at %v", c.pos, t.Upto)
	}
}

func (c *fleetClient) failf(format string, args ...any) {
	if len(c.errs) < 10 {
		c.errs = append(c.errs, fmt.Errorf(format, args...))
	}
}

// take holds a batch against the invariants.
func (c *fleetClient) take(t told) {
	if t.Gap != nil {
		c.gap(*t.Gap)
	}
	for _, n := range t.Events {
		switch {
		case n.ID.Epoch != c.pos.Epoch:
			c.failf("%q has the epoch of %v, the client is at %v and was told of no other", n.Data, n.ID, c.pos)
		case n.ID.Epoch == c.last.Epoch && n.ID.Seq <= c.last.Seq:
			c.failf("%q, #%d, comes after #%d", n.Data, n.ID.Seq, c.last.Seq)
		case n.ID.Seq <= c.pos.Seq:
			c.failf("%q, #%d, lies before the cursor, #%d", n.Data, n.ID.Seq, c.pos.Seq)
		case !slices.ContainsFunc(c.topics, func(p string) bool { return push.Match(p, n.Topic) }):
			c.failf("%q is of the topic %s, asked for are %q", n.Data, n.Topic, c.topics)
		}
		c.last = n.ID
		c.got[n.Data]++
		c.ids[n.Data] = n.ID
		if n.Topic == "mark" {
			select {
			case c.mark <- n.Data:
			default: // twice: judge says so
			}
		}
	}
	if t.Upto.Epoch != c.pos.Epoch || t.Upto.Seq < c.pos.Seq || t.Upto.Seq < c.last.Seq && t.Upto.Epoch == c.last.Epoch {
		c.failf("the cursor moved from %v to %v, the newest event is %v", c.pos, t.Upto, c.last)
	}
	c.pos = t.Upto
}

// gap takes what a client is told of a hole. An epoch never comes back.
func (c *fleetClient) gap(g push.Gap) {
	c.gaps = append(c.gaps, fleetGap{g, time.Now()})
	switch {
	case g.Reason == push.ReasonEpoch:
		if !c.run.Loses {
			c.failf("gap of reason epoch, %v to %v, though nothing was lost", g.From, g.To)
		}
		if g.To.Epoch != c.pos.Epoch {
			c.past = append(c.past, c.pos.Epoch)
		}
		if slices.Contains(c.past, g.To.Epoch) {
			c.failf("the epoch of %v was replaced before", g.To)
		}
		c.pos = push.ID{Epoch: g.To.Epoch}
	case !c.run.Trims:
		c.failf("gap %v to %v, though everything is kept", g.From, g.To)
	}
}

// judge compares what the client got with what was acknowledged.
func (c *fleetClient) judge(i int) {
	for _, n := range c.run.ledger {
		if !slices.ContainsFunc(c.topics, func(p string) bool { return push.Match(p, n.Topic) }) {
			continue
		}
		switch got := c.got[n.Data]; {
		case got == 0 && !slices.ContainsFunc(c.gaps, func(g fleetGap) bool { return g.tells(n) }):
			c.run.Errorf("client %d of %q: %q, acknowledged as %v, never came, and no gap tells it; gaps %v", i, c.topics, n.Data, n.ID, c.gaps)
		case got > 1 && len(c.past) == 0:
			c.run.Errorf("client %d of %q: %q came %d times", i, c.topics, n.Data, got)
		case got == 1 && c.ids[n.Data] != n.ID && !c.run.Loses:
			c.run.Errorf("client %d of %q: %q was acknowledged as %v and came as %v", i, c.topics, n.Data, n.ID, c.ids[n.Data])
		}
	}
	for _, g := range c.gaps {
		if g.Reason != push.ReasonEpoch && !c.missesSomethingIn(g) {
			c.run.Errorf("client %d of %q: the gap %v to %v covers nothing that is gone", i, c.topics, g.From, g.To)
		}
	}
}

func (c *fleetClient) missesSomethingIn(g fleetGap) bool {
	for _, n := range c.run.ledger {
		if c.got[n.Data] == 0 && g.tells(n) && slices.ContainsFunc(c.topics, func(p string) bool { return push.Match(p, n.Topic) }) {
			return true
		}
	}
	return false
}

// fleetGap is a gap and when it was told.
type fleetGap struct {
	push.Gap
	at time.Time
}

// tells reports whether a gap tells that an event is gone. One of reason epoch
// tells it of all that was acknowledged before, under whatever epoch.
func (g fleetGap) tells(n note) bool {
	if g.Reason == push.ReasonEpoch {
		return n.at.Before(g.at)
	}
	return n.ID.Epoch == g.To.Epoch && n.ID.Seq > g.From.Seq && n.ID.Seq <= g.To.Seq
}
