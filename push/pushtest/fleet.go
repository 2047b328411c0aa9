package pushtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Fleet is a test of several nodes over one log: clients read and publish while
// nodes and the engine are broken, go on at whatever node answers, and must in
// the end have seen everything, each event once, in order (docs/PROTOCOL.md, the
// invariants I1 to I5, I7 and I10).
type Fleet struct {
	// Start starts a node. It is called again for each that was killed.
	// Required.
	Start func() (Node, error)

	Nodes     int // default 2
	Clients   int // default 20; of which each second one reads all topics
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
	Deliveries, Gaps, Reconnects int
	Converged                    time.Duration // after the last fault
}

const (
	fleetTopics     = 8
	fleetPublishers = 4
	fleetBatch      = 5
)

// Run runs the test.
func (f Fleet) Run(tb testing.TB) Outcome {
	tb.Helper()
	f.Nodes, f.Clients, f.Events = or(f.Nodes, 2), or(f.Clients, 20), or(f.Events, 1000)
	f.Converge = or(f.Converge, 10*time.Second)
	f.Patience = or(f.Patience, 3*time.Minute+time.Duration(f.Events*f.Clients)*time.Millisecond)
	ctx, cancel := context.WithTimeout(tb.Context(), f.Patience)
	r := &fleetRun{Fleet: f, TB: tb, ctx: ctx, ledger: map[string]note{}}
	defer r.stop(cancel)
	for range f.Nodes {
		n, err := f.Start()
		if err != nil {
			tb.Errorf("starting a node: %v", err)
			return Outcome{}
		}
		r.nodes = append(r.nodes, n)
	}
	r.join()
	r.load()
	return r.verdict()
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// fleetRun is a Fleet under way.
type fleetRun struct {
	Fleet
	testing.TB
	ctx       context.Context //nolint:containedctx // of the whole run
	clients   []*fleetClient
	running   sync.WaitGroup
	published atomic.Int64
	outcome   Outcome

	mu     sync.Mutex
	nodes  []Node
	ledger map[string]note // what was acknowledged, by Data
}

func (r *fleetRun) stop(cancel func()) {
	cancel()
	r.running.Wait()
	for _, n := range r.nodes {
		n.Kill()
	}
}

// join starts the clients and waits until each knows where it is.
func (r *fleetRun) join() {
	for i := range r.Clients {
		c := &fleetClient{run: r, topics: []string{"**"}, started: make(chan struct{}), got: map[string]int{}, ids: map[string]push.ID{}}
		if i%2 == 1 {
			c.topics = []string{fleetTopic(i), fleetTopic(i/2) + "/**"}
		}
		c.topics = append(c.topics, "mark")
		c.mark = make(chan string, 4)
		r.clients = append(r.clients, c)
		r.running.Go(c.read)
	}
	for _, c := range r.clients {
		select {
		case <-c.started:
		case <-r.ctx.Done():
			r.Errorf("a client does not get a first answer from any node")
			return
		}
	}
}

func fleetTopic(i int) string { return "room/" + strconv.Itoa(i%fleetTopics) }

// load publishes, and breaks what there is to break, spread evenly over it.
func (r *fleetRun) load() {
	var publishers sync.WaitGroup
	var next atomic.Int64
	for range fleetPublishers {
		publishers.Go(func() {
			p := fleetPublisher{run: r}
			defer p.hangUp()
			for {
				n := int(next.Add(fleetBatch))
				if n > r.Events+fleetBatch-1 || r.ctx.Err() != nil {
					return
				}
				p.publish(r.notes(n-fleetBatch, min(n, r.Events)))
			}
		})
	}
	r.fault()
	publishers.Wait()
	r.converge("the end")
}

func (r *fleetRun) notes(from, to int) (list []note) {
	for i := from; i < to; i++ {
		list = append(list, note{Topic: fleetTopic(i), Data: "event " + strconv.Itoa(i)})
	}
	return list
}

// fault has each fault wait for its share of the events.
func (r *fleetRun) fault() {
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
			r.Errorf("breaking the engine for the %d. time: %v", breaks, err)
		}
		breaks++
	}
	if total > 0 {
		r.outcome.Converged = r.converge("the last fault")
	}
}

func (r *fleetRun) await(n int64) {
	poll := time.NewTicker(pollPause)
	defer poll.Stop()
	for r.published.Load() < n && r.ctx.Err() == nil {
		<-poll.C
	}
}

func (r *fleetRun) killNode() {
	r.mu.Lock()
	i := rand.IntN(len(r.nodes))
	n := r.nodes[i]
	r.mu.Unlock()
	n.Kill()
	n, err := r.Start()
	if err != nil {
		r.Errorf("starting a node again: %v", err)
		return
	}
	r.mu.Lock()
	r.nodes[i] = n
	r.mu.Unlock()
}

// converge publishes an event for all and waits until every client has it.
func (r *fleetRun) converge(after string) time.Duration {
	begun := time.Now()
	mark := note{Topic: "mark", Data: "after " + after}
	p := fleetPublisher{run: r}
	defer p.hangUp()
	p.publish([]note{mark})
	for _, c := range r.clients {
		for got := ""; got != mark.Data; {
			select {
			case got = <-c.mark:
			case <-r.ctx.Done():
				r.Errorf("a client did not reach the head after %s: it is at %v and has %d events", after, c.position(), c.count())
				return time.Since(begun)
			}
		}
	}
	took := time.Since(begun)
	if took > r.Converge {
		r.Errorf("all clients were at the head %v after %s, allowed are %v", took, after, r.Converge)
	}
	return took
}

// verdict holds what each client got against what was acknowledged.
func (r *fleetRun) verdict() Outcome {
	for i, c := range r.clients {
		c.mu.Lock()
		for _, err := range c.errs {
			r.Errorf("client %d of %q: %v", i, c.topics, err)
		}
		c.judge(i)
		for _, n := range c.got {
			r.outcome.Deliveries += n
		}
		r.outcome.Gaps += len(c.gaps)
		r.outcome.Reconnects += c.connects - 1
		c.mu.Unlock()
	}
	return r.outcome
}

// dial connects to one of the nodes.
func (r *fleetRun) dial() (net.Conn, error) {
	r.mu.Lock()
	addr := r.nodes[rand.IntN(len(r.nodes))].Addr
	r.mu.Unlock()
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(r.ctx, "tcp", addr)
}

// breathe is the pause before the next try.
func (r *fleetRun) breathe() {
	select {
	case <-time.After(10*time.Millisecond + rand.N(40*time.Millisecond)):
	case <-r.ctx.Done():
	}
}

// fleetPublisher publishes to whatever node answers.
type fleetPublisher struct {
	run  *fleetRun
	conn net.Conn
	in   *json.Decoder
}

func (p *fleetPublisher) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// publish publishes until it is acknowledged, and writes that down.
func (p *fleetPublisher) publish(notes []note) {
	for p.run.ctx.Err() == nil {
		answer, err := p.try(notes)
		if err != nil {
			p.hangUp()
			p.run.breathe()
			continue
		}
		p.run.mu.Lock()
		for _, n := range answer {
			n.at = time.Now()
			p.run.ledger[n.Data] = n
		}
		p.run.mu.Unlock()
		p.run.published.Add(int64(len(notes)))
		return
	}
}

func (p *fleetPublisher) try(notes []note) ([]note, error) {
	if p.conn == nil {
		c, err := p.run.dial()
		if err != nil {
			return nil, err
		}
		p.conn, p.in = c, json.NewDecoder(c)
	}
	_ = p.conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := json.NewEncoder(p.conn).Encode(ask{Publish: notes}); err != nil {
		return nil, err
	}
	var t told
	if err := p.in.Decode(&t); err != nil {
		return nil, err
	}
	if t.Error != "" {
		return nil, errors.New(t.Error)
	}
	if len(t.Events) != len(notes) || slices.ContainsFunc(t.Events, func(n note) bool { return n.ID.Seq == 0 }) {
		return nil, fmt.Errorf("of %d events %d were acknowledged", len(notes), len(t.Events))
	}
	return t.Events, nil
}
