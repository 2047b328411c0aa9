package push

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DefaultMaxBytes bounds a memory broker unless MaxBytes says otherwise.
const DefaultMaxBytes = 256 << 20

// MemoryOption configures NewMemory.
type MemoryOption func(*Memory)

// Rules sets the retention of topics: of the rules whose pattern matches a
// topic the first one holds. Topics without a rule take the defaults of
// Retention. It panics if a pattern is none.
func Rules(rules ...Rule) MemoryOption {
	for _, r := range rules {
		if err := CheckPattern(r.Pattern); err != nil {
			panic(err)
		}
	}
	return func(b *Memory) { b.rules = append(b.rules, rules...) }
}

// MaxBytes bounds what the broker retains over all topics, in bytes of payload
// plus about 256 an event. The oldest events go first. Default DefaultMaxBytes;
// 0 or less: no bound. Idempotency keys count apart, at most 32 MiB.
func MaxBytes(n int) MemoryOption { return func(b *Memory) { b.log.maxBytes = n } }

// Memory is a broker in this process's memory. What it acknowledged is gone
// when the process ends; readers are then told so by another epoch. Memory is
// bounded by its rules and MaxBytes.
type Memory struct {
	log   *log
	rules []Rule
	idem  idemMemory
	store *MemoryStore
}

var _ Broker = (*Memory)(nil)

// NewMemory returns a memory broker with a new epoch.
func NewMemory(opts ...MemoryOption) *Memory {
	b := &Memory{store: NewMemoryStore(0)}
	b.log = newLog(b.rule, DefaultMaxBytes)
	b.log.head.Epoch = newEpoch()
	for _, o := range opts {
		o(b)
	}
	return b
}

func (b *Memory) rule(topic string) retention {
	for _, r := range b.rules {
		if Match(r.Pattern, topic) {
			return r.withDefaults()
		}
	}
	return Retention{}.withDefaults()
}

// Publish implements Broker.
func (b *Memory) Publish(ctx context.Context, events ...Event) ([]ID, error) {
	for i := range events {
		check := events[i].Check
		if strings.HasPrefix(events[i].Topic, "$") { // of a hub's Announce
			check = events[i].checkReserved
		}
		if err := check(); err != nil {
			return nil, err
		}
	}
	return b.publish(ctx, events)
}

// publish takes checked events. It does not keep the slice.
func (b *Memory) publish(ctx context.Context, events []Event) ([]ID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := b.log
	for i := range events {
		if n := eventSize(&events[i]); l.maxBytes > 0 && n > l.maxBytes {
			return nil, fmt.Errorf("%w: event of %d bytes, the log holds %d (MaxBytes)", ErrTooLarge, n, l.maxBytes)
		}
	}
	ids := make([]ID, len(events))
	now := time.Now()
	if len(events) == 1 { // the usual case
		m := newMessage(&events[0], now, now.Sub(l.started))
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.closed != nil {
			return nil, l.closed
		}
		ids[0] = b.add(m)
		return ids, nil
	}
	ms := make([]*Message, len(events))
	for i := range events {
		ms[i] = newMessage(&events[i], now, now.Sub(l.started))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return nil, l.closed
	}
	for i, m := range ms {
		ids[i] = b.add(m)
	}
	return ids, nil
}

func (b *Memory) add(m *Message) ID {
	l := b.log
	if m.Idem != "" {
		if id, ok := b.idem.seen(idemKey{m.Topic, m.Idem}, m.added); ok {
			return id
		}
	}
	m.ID = l.id(l.head.Seq + 1)
	l.append(m)
	if m.Idem != "" {
		b.idem.add(idemKey{m.Topic, m.Idem}, m.ID, m.added)
	}
	return m.ID
}

// Tail implements Broker.
func (b *Memory) Tail(ctx context.Context, after ID, deliver func([]Event) error) error {
	l := b.log
	r := &reader{log: l}
	r.listen()
	var backlog []*Message // what a tail from the oldest event is sure of
	l.mu.Lock()
	switch {
	case l.closed != nil:
	case after.IsZero():
		r.pos = l.head
		backlog = slices.DeleteFunc(slices.Clone(l.all.ring.live()), func(m *Message) bool { return m.gone })
	case !l.knows(after):
		l.mu.Unlock()
		return ErrEpoch
	default:
		r.pos = after
	}
	r.atts = []*attachment{{feed: &l.all, reader: r}}
	l.all.readers++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.detach(r.atts[0])
		l.mu.Unlock()
	}()
	for {
		events, err := b.tailNext(ctx, r, &backlog)
		if err != nil {
			return err
		}
		if err := deliver(events); err != nil {
			return err
		}
	}
}

// tailBatch is how many events Tail delivers at once.
const tailBatch = 256

func (b *Memory) tailNext(ctx context.Context, r *reader, backlog *[]*Message) ([]Event, error) {
	l := b.log
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.mu.Lock()
		if l.closed != nil {
			l.mu.Unlock()
			return nil, l.closed
		}
		if n := min(len(*backlog), tailBatch); n > 0 {
			l.mu.Unlock()
			ms := (*backlog)[:n]
			*backlog = (*backlog)[n:]
			return eventsOf(ms), nil
		}
		if to := r.hole(r.pos.Seq, Tell); to > 0 {
			err := &TailGap{From: r.pos, To: l.id(to)}
			l.mu.Unlock()
			return nil, err
		}
		ms, upto := r.collect(nil, tailBatch)
		r.pos = upto
		if len(ms) > 0 {
			l.mu.Unlock()
			return eventsOf(ms), nil
		}
		r.park()
		l.mu.Unlock()
		select {
		case <-r.news:
		case <-ctx.Done():
		}
	}
}

func eventsOf(ms []*Message) []Event {
	events := make([]Event, len(ms))
	for i, m := range ms {
		events[i] = m.Event
	}
	return events
}

// History implements Broker.
func (b *Memory) History(ctx context.Context, q Query) (Page, error) {
	if err := ctx.Err(); err != nil {
		return Page{}, err
	}
	l := b.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return Page{}, l.closed
	}
	if q.After.IsZero() || l.knows(q.After) {
		p, _ := l.page(q)
		return p, nil
	}
	from := q.After
	q.After = ID{Epoch: l.head.Epoch}
	p, hole := l.page(q)
	p.Gap = &Gap{From: from, To: l.id(hole), Reason: ReasonEpoch}
	return p, nil
}

// Head implements Broker.
func (b *Memory) Head(ctx context.Context) (ID, error) {
	if err := ctx.Err(); err != nil {
		return ID{}, err
	}
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return b.log.head, b.log.closed
}

// Store implements Broker: a MemoryStore of DefaultStoreBytes.
func (b *Memory) Store() Store { return b.store }

// Purge removes every event of a topic. Readers that had not seen them all
// are told of the gap.
func (b *Memory) Purge(ctx context.Context, topic string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := b.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[topic]; t != nil {
		l.purge(t)
	}
	return l.closed
}

// Close implements Broker.
func (b *Memory) Close(context.Context) error {
	b.log.shut(ErrClosed)
	return nil
}
