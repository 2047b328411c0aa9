// Package fleet tests several nodes over one log, as users have them: processes
// that serve a mount, and are killed, over an engine that is broken, while
// clients read and publish. The clients go on at whatever node answers, each time
// on another transport, at the same cursor; they hold what they get against the
// invariants I1 to I8 and I10 of docs/PROTOCOL.md.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fleet is a run. At its end every client must have seen everything, each event
// once, in order.
type Fleet struct {
	// Start starts a node. It is called again for each that was killed.
	// Required.
	Start func() (Node, error)

	Nodes     int // default 2
	Clients   int // default 20; each second one reads all topics
	Events    int // how many are published; default 1000
	NodeKills int // how many times a node is killed

	// Break breaks the engine, for the nth time, and returns when it is whole
	// again. It is called Breaks times, while clients read and publish.
	Break  func(n int) error
	Breaks int

	// Loses says that Break may lose what was acknowledged. Then each reader
	// must be told so, by a gap of reason epoch. Else there must be no such
	// gap.
	Loses bool

	// Trims says that topics do not keep all that is published. Else there must
	// be no gap at all.
	Trims bool

	// Converge is how long it may take, after the last fault, until every client
	// is at the head. Default 10 s.
	Converge time.Duration

	// Patience ends a run that does not come to its end. Default 3 min, and 1 ms
	// a delivery.
	Patience time.Duration
}

// Outcome says what a Fleet did.
type Outcome struct {
	Deliveries map[string]int // of each transport
	Gaps       int
	Reconnects int
	Converged  time.Duration // after the last fault
}

// All returns the number of all deliveries.
func (o *Outcome) All() (n int) {
	for _, d := range o.Deliveries {
		n += d
	}
	return n
}

const (
	manyTopics     = 8
	manyPublishers = 4
	batch          = 5 // events
)

// Run runs the test.
func (f Fleet) Run(tb testing.TB) Outcome {
	tb.Helper()
	out, errs := f.run(tb.Context())
	for _, err := range errs {
		tb.Error(err)
	}
	return out
}

func (f Fleet) run(ctx context.Context) (Outcome, []error) {
	f.Nodes, f.Clients, f.Events = cmp.Or(f.Nodes, 2), cmp.Or(f.Clients, 20), cmp.Or(f.Events, 1000)
	f.Converge = cmp.Or(f.Converge, 10*time.Second)
	f.Patience = cmp.Or(f.Patience, 3*time.Minute+time.Duration(f.Events*f.Clients)*time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, f.Patience)
	r := &run{Fleet: f, ctx: ctx, ledger: map[string]note{}, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * f.Clients}}}
	r.outcome.Deliveries = map[string]int{}
	defer r.stop(cancel)
	for range f.Nodes {
		n, err := f.Start()
		if err != nil {
			r.failf("starting a node: %v", err)
			return r.outcome, r.errs
		}
		r.nodes = append(r.nodes, n)
	}
	r.join()
	r.load()
	r.verdict()
	return r.outcome, r.errs
}

// run is a Fleet under way.
type run struct {
	Fleet
	ctx       context.Context //nolint:containedctx // of the whole run
	http      *http.Client
	clients   []*client
	running   sync.WaitGroup
	published atomic.Int64
	outcome   Outcome

	mu     sync.Mutex
	nodes  []Node
	ledger map[string]note // what was acknowledged, by Data
	errs   []error
}

// mostErrors are enough to know.
const mostErrors = 40

func (r *run) failf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) < mostErrors {
		r.errs = append(r.errs, fmt.Errorf(format, args...))
	}
}

func (r *run) stop(cancel func()) {
	cancel()
	r.running.Wait()
	for _, n := range r.nodes {
		n.Kill()
	}
	r.http.CloseIdleConnections()
}

// join starts the clients and waits until each knows where it is.
func (r *run) join() {
	for i := range r.Clients {
		c := newClient(r, i)
		r.clients = append(r.clients, c)
		r.running.Go(c.read)
	}
	for _, c := range r.clients {
		select {
		case <-c.started:
		case <-r.ctx.Done():
			r.failf("client %d does not get a first answer from any node; the last try: %v", c.number, c.why())
			return
		}
	}
}

func topic(i int) string { return "room/" + strconv.Itoa(i%manyTopics) }

// load publishes, and breaks what there is to break, spread evenly over it.
func (r *run) load() {
	var publishers sync.WaitGroup
	var next atomic.Int64
	for range manyPublishers {
		publishers.Go(func() {
			for r.ctx.Err() == nil {
				n := int(next.Add(batch))
				if n > r.Events+batch-1 {
					return
				}
				r.publish(r.notes(n-batch, min(n, r.Events)))
			}
		})
	}
	r.fault()
	publishers.Wait()
	r.converge("the end")
}

func (r *run) notes(from, to int) (list []note) {
	for i := from; i < to; i++ {
		list = append(list, note{Topic: topic(i), Data: "event " + strconv.Itoa(i)})
	}
	return list
}

// fault has each fault wait for its share of the events.
func (r *run) fault() {
	total := r.NodeKills + r.Breaks
	kills, breaks := 0, 0
	for i := range total {
		r.await(int64(r.Events * (i + 1) / (total + 1)))
		if kills*r.Breaks <= breaks*r.NodeKills && kills < r.NodeKills {
			kills++
			r.killNode()
			continue
		}
		if err := r.Break(breaks); err != nil {
			r.failf("breaking the engine for the %d. time: %v", breaks, err)
		}
		breaks++
	}
	if total > 0 {
		r.outcome.Converged = r.converge("the last fault")
	}
}

func (r *run) await(n int64) {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for r.published.Load() < n && r.ctx.Err() == nil {
		<-look.C
	}
}

func (r *run) killNode() {
	r.mu.Lock()
	i := rand.IntN(len(r.nodes))
	n := r.nodes[i]
	r.mu.Unlock()
	n.Kill()
	n, err := r.Start()
	if err != nil {
		r.failf("starting a node again: %v", err)
		return
	}
	r.mu.Lock()
	r.nodes[i] = n
	r.mu.Unlock()
}

// converge publishes an event for all and waits until every client has it.
func (r *run) converge(after string) time.Duration {
	begun := time.Now()
	mark := note{Topic: "mark", Data: "after " + after}
	r.publish([]note{mark})
	for _, c := range r.clients {
		for got := ""; got != mark.Data; {
			select {
			case got = <-c.mark:
			case <-r.ctx.Done():
				r.failf("client %d did not reach the head after %s: %s", c.number, after, c)
				return time.Since(begun)
			}
		}
	}
	took := time.Since(begun)
	if took > r.Converge {
		r.failf("all clients were at the head %v after %s, allowed are %v", took, after, r.Converge)
	}
	return took
}

// verdict holds what each client got against what was acknowledged.
func (r *run) verdict() {
	for _, c := range r.clients {
		c.mu.Lock()
		c.judge()
		for transport, n := range c.count {
			r.outcome.Deliveries[transport] += n
		}
		r.outcome.Gaps += len(c.gaps)
		r.outcome.Reconnects += c.connects - 1
		c.mu.Unlock()
	}
}

// acknowledged returns what was.
func (r *run) acknowledged() map[string]note {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.ledger)
}

// node returns the URL of one of the nodes.
func (r *run) node() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes[rand.IntN(len(r.nodes))].URL
}

// breathe is the pause before the next try.
func (r *run) breathe() {
	select {
	case <-time.After(10*time.Millisecond + rand.N(40*time.Millisecond)):
	case <-r.ctx.Done():
	}
}
