package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// client reads from whatever node answers, on one cursor.
type client struct {
	run     *run
	number  int
	topics  []string
	query   string
	http    *http.Client  // with the client's grants
	started chan struct{} // closed when it knows where it starts
	mark    chan string   // the marks it got

	mu       sync.Mutex
	tries    int
	connects int
	broken   error // why the last connection ended
	count    map[string]int
	pos      push.ID // its cursor
	epoch    uint64  // of the events that may come
	last     push.ID // of the newest event
	past     []uint64
	got      map[string][]push.ID // by Data
	gaps     []hole
}

func newClient(r *run, i int) *client {
	c := &client{run: r, number: i, topics: []string{"**"}, started: make(chan struct{}), mark: make(chan string, 4),
		tries: i, count: map[string]int{}, got: map[string][]push.ID{}}
	if i%2 == 1 {
		c.topics = []string{topic(i), topic(i/2) + "/**", "mark"}
	}
	c.query = "/events?" + url.Values{"topic": c.topics}.Encode()
	c.http = &http.Client{Transport: grants{r.http.Transport, c.topics}}
	return c
}

func (c *client) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("it is at %v and has %d events; its last connection ended with: %v", c.pos, len(c.got), c.broken)
}

func (c *client) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// read reads until the run ends, on one transport after the other.
func (c *client) read() {
	for c.run.ctx.Err() == nil && !c.pry() {
		c.run.breathe()
	}
	for c.run.ctx.Err() == nil {
		c.pry()
		c.mu.Lock()
		t, after := transports[c.tries%len(transports)], ""
		c.tries++
		if !c.pos.IsZero() {
			after = c.pos.String()
		}
		c.mu.Unlock()
		ctx, cancel := context.WithCancel(c.run.ctx)
		left := shortest + rand.IntN(longest-shortest)
		err := t.read(ctx, c.http, c.run.node()+c.query, after, func(said told) error {
			c.hear(t.name, said)
			if left -= len(said.events); left < 0 {
				return errHangUp
			}
			return nil
		})
		cancel()
		c.mu.Lock()
		c.broken = fmt.Errorf("%s: %w", t.name, err)
		c.mu.Unlock()
		c.run.breathe()
	}
}

// A client hangs up after so many events, and continues on another transport.
const shortest, longest = 50, 1000

var errHangUp = errors.New("the client hung up")

func (c *client) failf(format string, args ...any) {
	c.run.failf("client %d of %q: %w", c.number, c.topics, fmt.Errorf(format, args...))
}

// hear holds what comes against the invariants.
func (c *client) hear(transport string, t told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.start {
		c.connected(transport, t.upto)
		return
	}
	if t.gap != nil {
		c.gap(transport, *t.gap)
	}
	for _, n := range t.events {
		c.event(transport, n)
	}
	c.move(transport, t.upto)
}

// connected takes where a connection starts. A resume starts where the cursor is.
func (c *client) connected(transport string, at push.ID) {
	c.connects++
	switch {
	case c.pos.IsZero():
		c.pos, c.epoch = at, at.Epoch
		close(c.started)
	case at != c.pos:
		c.failf("%s: resumed at %v, the node starts at %v", transport, c.pos, at)
	}
}

func (c *client) event(transport string, n note) {
	switch {
	case n.ID.Epoch != c.epoch:
		c.failf("%s: %q has the epoch of %v, the client is at %v and was told of no other", transport, n.Data, n.ID, c.pos)
	case n.ID.Epoch == c.last.Epoch && n.ID.Seq <= c.last.Seq:
		c.failf("%s: %q, #%d, comes after #%d", transport, n.Data, n.ID.Seq, c.last.Seq)
	case n.ID.Epoch == c.pos.Epoch && n.ID.Seq <= c.pos.Seq:
		c.failf("%s: %q, #%d, lies before the cursor, #%d", transport, n.Data, n.ID.Seq, c.pos.Seq)
	case !c.reads(n.Topic):
		c.failf("%s: %q is of the topic %s", transport, n.Data, n.Topic)
	}
	c.last = n.ID
	c.count[transport]++
	c.got[n.Data] = append(c.got[n.Data], n.ID)
	if n.Topic == "mark" {
		select {
		case c.mark <- n.Data:
		default: // twice: judge says so
		}
	}
}

// move moves the cursor, which never goes back.
func (c *client) move(transport string, to push.ID) {
	forth := to.Epoch == c.pos.Epoch && to.Seq >= c.pos.Seq || to.Epoch != c.pos.Epoch && to.Epoch == c.epoch
	if !forth || to.Epoch == c.last.Epoch && to.Seq < c.last.Seq {
		c.failf("%s: the cursor moved from %v to %v, the newest event is %v", transport, c.pos, to, c.last)
	}
	c.pos = to
}

func (c *client) reads(topic string) bool {
	return slices.ContainsFunc(c.topics, func(p string) bool { return push.Match(p, topic) })
}

// gap takes what a client is told of a hole. An epoch never comes back.
func (c *client) gap(transport string, g push.Gap) {
	c.gaps = append(c.gaps, hole{g, time.Now()})
	if g.Reason != push.ReasonEpoch {
		if !c.run.Trims {
			c.failf("%s: gap %v to %v, though everything is kept", transport, g.From, g.To)
		}
		return
	}
	if !c.run.Loses {
		c.failf("%s: gap of reason epoch, %v to %v, though nothing was lost", transport, g.From, g.To)
	}
	if g.To.Epoch != c.epoch {
		c.past = append(c.past, c.epoch)
	}
	if c.epoch = g.To.Epoch; slices.Contains(c.past, c.epoch) {
		c.failf("%s: the epoch of %v was replaced before", transport, g.To)
	}
}

// judge compares what the client got with what was acknowledged.
func (c *client) judge() {
	ledger := c.run.acknowledged()
	for _, n := range ledger {
		if c.reads(n.Topic) {
			c.judgeOne(n)
		}
	}
	for _, g := range c.gaps {
		if g.Reason != push.ReasonEpoch && !c.missesSomethingIn(ledger, g) {
			c.failf("the gap %v to %v covers nothing that is gone", g.From, g.To)
		}
	}
}

func (c *client) judgeOne(n note) {
	switch got := c.got[n.Data]; {
	case len(got) == 0 && !slices.ContainsFunc(c.gaps, func(g hole) bool { return g.tells(n) }):
		c.failf("%q, acknowledged as %v, never came, and no gap tells it; gaps %v", n.Data, n.ID, c.gaps)
	case len(got) > 1 && len(c.past) == 0:
		c.failf("%q came as %v", n.Data, got)
	case len(got) == 1 && got[0] != n.ID && !c.run.Loses:
		c.failf("%q was acknowledged as %v and came as %v", n.Data, n.ID, got[0])
	}
}

func (c *client) missesSomethingIn(ledger map[string]note, g hole) bool {
	for _, n := range ledger {
		if len(c.got[n.Data]) == 0 && g.tells(n) && c.reads(n.Topic) {
			return true
		}
	}
	return false
}

// hole is a gap and when it was told.
type hole struct {
	push.Gap
	at time.Time
}

// tells reports whether a gap tells that an event is gone. One of reason epoch
// tells it of all that was acknowledged before, under whatever epoch.
func (g hole) tells(n note) bool {
	if g.Reason == push.ReasonEpoch {
		return n.at.Before(g.at)
	}
	return n.ID.Epoch == g.To.Epoch && n.ID.Seq > g.From.Seq && n.ID.Seq <= g.To.Seq
}
