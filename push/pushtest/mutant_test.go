package pushtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// mutant is a broker that breaks its contract in one way. The check that it
// names must reject it.
type mutant struct {
	breaks string // the check's name
	how    string
	broker func(*broken)                 // of each broker over the log
	engine func(*Instance)               // of what can be done to the engine
	rules  func([]push.Rule) []push.Rule // of what New is given
}

// broken is a broker whose methods can be replaced.
type broken struct {
	push.Broker // the good one
	publish     func(context.Context, []push.Event) ([]push.ID, error)
	tail        func(context.Context, push.ID, func([]push.Event) error) error
	history     func(context.Context, push.Query) (push.Page, error)
	head        func(context.Context) (push.ID, error)
	close       func(context.Context) error
	store       func() push.Store
}

func newBroken(b push.Broker) *broken {
	return &broken{Broker: b, tail: b.Tail, history: b.History, head: b.Head, close: b.Close, store: b.Store,
		publish: func(ctx context.Context, events []push.Event) ([]push.ID, error) { return b.Publish(ctx, events...) }}
}

func (b *broken) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	return b.publish(ctx, slices.Clone(events))
}

func (b *broken) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	return b.tail(ctx, after, deliver)
}

func (b *broken) History(ctx context.Context, q push.Query) (push.Page, error) {
	return b.history(ctx, q)
}

func (b *broken) Head(ctx context.Context) (push.ID, error) { return b.head(ctx) }

func (b *broken) Store() push.Store { return b.store() }

func (b *broken) Close(ctx context.Context) error { return b.close(ctx) }

// publishes changes what is published.
func (b *broken) publishes(change func(*push.Event)) {
	next := b.publish
	b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
		for i := range events {
			change(&events[i])
		}
		return next(ctx, events)
	}
}

// asks changes what History is asked.
func (b *broken) asks(change func(*push.Query)) {
	next := b.history
	b.history = func(ctx context.Context, q push.Query) (push.Page, error) {
		change(&q)
		return next(ctx, q)
	}
}

// answers changes what History answers.
func (b *broken) answers(change func(push.Query, *push.Page)) {
	next := b.history
	b.history = func(ctx context.Context, q push.Query) (push.Page, error) {
		p, err := next(ctx, q)
		change(q, &p)
		return p, err
	}
}

// delivers changes the batches of Tail.
func (b *broken) delivers(change func([]push.Event) []push.Event) {
	next := b.tail
	b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
		return next(ctx, after, func(events []push.Event) error {
			if events = change(events); len(events) > 0 {
				return deliver(events)
			}
			return nil
		})
	}
}

// shows changes the events that come out of the log.
func (b *broken) shows(change func(*push.Event)) {
	each := func(events []push.Event) []push.Event {
		for i := range events {
			change(&events[i])
		}
		return events
	}
	b.answers(func(_ push.Query, p *push.Page) { each(p.Events) })
	b.delivers(each)
}

// takes changes the positions that History and Tail are given.
func (b *broken) takes(change func(push.ID) push.ID) {
	b.asks(func(q *push.Query) { q.After = change(q.After) })
	next := b.tail
	b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
		return next(ctx, change(after), deliver)
	}
}

// ends changes the error of Tail.
func (b *broken) ends(change func(error) error) {
	next := b.tail
	b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
		return change(next(ctx, after, deliver))
	}
}

// at returns the true head.
func (b *broken) at() push.ID {
	id, _ := b.Broker.Head(context.Background())
	return id
}

// kept returns what the log truly has of topics.
func (b *broken) kept(topics ...string) []push.Event {
	p, _ := b.Broker.History(context.Background(), push.Query{Topics: topics, Limit: 1 << 20})
	return p.Events
}

// harness returns a harness for the mutant.
func (m mutant) harness() Harness {
	wrap := func(b push.Broker) push.Broker {
		if m.broker == nil {
			return b
		}
		broken := newBroken(b)
		m.broker(broken)
		return broken
	}
	return Harness{Synctest: true, New: func(tb testing.TB, rules ...push.Rule) (Instance, error) {
		tb.Helper()
		if m.rules != nil {
			rules = m.rules(slices.Clone(rules))
		}
		in := newEngine(tb, rules).instance()
		if m.engine != nil {
			m.engine(&in)
		}
		in.Broker = wrap(in.Broker)
		reopen := in.Reopen
		in.Reopen = func(ctx context.Context) (push.Broker, error) {
			b, err := reopen(ctx)
			return wrap(b), err
		}
		return in, nil
	}}
}

var mutants = slices.Concat(publishMutants, positionMutants, retentionMutants, tailMutants, queryMutants, pageMutants,
	gapMutants, lifeMutants, engineMutants)

func TestBrokenBrokersAreRejected(t *testing.T) {
	for _, m := range mutants {
		c, in := find(t, m.breaks)
		t.Run(m.breaks+"/"+m.how, func(t *testing.T) {
			h := m.harness()
			bubble(t, &h, func(tb testing.TB) {
				tb.Helper()
				r := record(tb, func(tb testing.TB) { tb.Helper(); c.prove(tb, &h, in) })
				time.Sleep(2 * leftBehind)
				if !r.Failed() {
					tb.Errorf("%s accepts a broker that %s", m.breaks, m.how)
				}
				for _, line := range r.lines() {
					tb.Log(line)
				}
			})
		})
	}
}

// leftBehind is how long a goroutine lives that a mutant leaves behind.
const leftBehind = 24 * time.Hour

// find returns the check of that name and the mode in which it runs.
func find(t *testing.T, name string) (check, mode) {
	t.Helper()
	for _, m := range modes {
		for _, c := range m.checks() {
			if c.name == name {
				return c, m
			}
		}
	}
	t.Fatalf("there is no check %s", name)
	return check{}, mode{}
}

// ofTheHub are checks that no broker can fail.
var ofTheHub = map[string]bool{"Subscription/validates": true}

// A check that cannot fail is worse than none.
func TestEveryCheckRejectsABrokenBroker(t *testing.T) {
	rejects := map[string]bool{}
	for _, m := range mutants {
		rejects[m.breaks] = true
	}
	for _, c := range slices.Concat(checks(), subscriptionChecks) {
		if !rejects[c.name] && !ofTheHub[c.name] {
			t.Errorf("no broken broker fails %s", c.name)
		}
	}
}
