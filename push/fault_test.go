package push_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var errDown = errors.New("the broker is down")

// faultBroker is a broker behind a bad network: it can be down, its feed can
// stall or break, its answers can be late, and it can lose its log.
type faultBroker struct {
	opts []push.MemoryOption

	mu      sync.Mutex
	log     *push.Memory
	down    bool
	fault   chan struct{} // closed to end the Tails that run, with why
	why     error
	tail    chan struct{} // if not nil, Tail delivers when it is closed
	history chan struct{} // if not nil, History returns when it is closed
	asked   atomic.Int64  // how often History was called
	takes   time.Duration // what History takes; set before it is called
}

func newFaultBroker(opts ...push.MemoryOption) *faultBroker {
	return &faultBroker{opts: opts, log: push.NewMemory(opts...), fault: make(chan struct{})}
}

// use returns the log and the gates of a call.
func (b *faultBroker) use() (m *push.Memory, fault, tail, history chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, nil, nil, nil, errDown
	}
	return b.log, b.fault, b.tail, b.history, nil
}

func (b *faultBroker) memory() *push.Memory {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log
}

func (b *faultBroker) breakTails(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.why = why
	close(b.fault)
	b.fault = make(chan struct{})
}

// lose replaces the log by an empty one of another epoch.
func (b *faultBroker) lose() {
	b.mu.Lock()
	b.log = push.NewMemory(b.opts...)
	b.mu.Unlock()
	b.breakTails(push.ErrEpoch)
}

func (b *faultBroker) setDown(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
	if down {
		b.breakTails(errDown)
	}
}

// hold makes the feed stall until it is let go.
func (b *faultBroker) hold(stall bool) { gate(&b.mu, &b.tail, stall) }

// holdHistory makes the answers of History late: read, but not returned.
func (b *faultBroker) holdHistory(stall bool) { gate(&b.mu, &b.history, stall) }

func gate(mu *sync.Mutex, g *chan struct{}, closed bool) {
	mu.Lock()
	defer mu.Unlock()
	switch {
	case closed && *g == nil:
		*g = make(chan struct{})
	case !closed && *g != nil:
		close(*g)
		*g = nil
	}
}

func pass(ctx context.Context, g chan struct{}) error {
	if g == nil {
		return ctx.Err()
	}
	select {
	case <-g:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *faultBroker) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	m, _, _, _, err := b.use()
	if err != nil {
		return nil, err
	}
	return m.Publish(ctx, events...)
}

func (b *faultBroker) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	m, fault, _, _, err := b.use()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	defer func() { cancel(nil); <-watched }()
	go func() {
		defer close(watched)
		select {
		case <-fault:
			cancel(b.reason())
		case <-ctx.Done():
		}
	}()
	err = m.Tail(ctx, after, func(events []push.Event) error {
		b.mu.Lock()
		g := b.tail
		b.mu.Unlock()
		if err := pass(ctx, g); err != nil {
			return err
		}
		return deliver(events)
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (b *faultBroker) reason() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.why
}

func (b *faultBroker) History(ctx context.Context, q push.Query) (push.Page, error) {
	b.asked.Add(1)
	time.Sleep(b.takes)
	m, _, _, late, err := b.use()
	if err != nil {
		return push.Page{}, err
	}
	p, err := m.History(ctx, q)
	if late != nil {
		if e := pass(ctx, late); e != nil {
			return push.Page{}, e
		}
	}
	return p, err
}

func (b *faultBroker) Head(ctx context.Context) (push.ID, error) {
	m, _, _, _, err := b.use()
	if err != nil {
		return push.ID{}, err
	}
	return m.Head(ctx)
}

func (b *faultBroker) Store() push.Store { return b.memory().Store() }

func (b *faultBroker) Close(ctx context.Context) error { return b.memory().Close(ctx) }

// doubling delivers everything twice, the second time with what came before.
type doubling struct {
	push.Broker
	past []push.Event
}

func (b *doubling) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	return b.Broker.Tail(ctx, after, func(events []push.Event) error {
		b.past = append(b.past, events...)
		return errors.Join(deliver(events), deliver(b.past))
	})
}
