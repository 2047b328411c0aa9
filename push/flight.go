package push

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// flights have readers that are behind share what is read from the broker:
// after a restart thousands come back at nearly the same position.
type flights struct {
	mu sync.Mutex
	of map[string]*flight // by topics
}

// flight is one page that is being read, and the messages made of it.
type flight struct {
	after   ID
	cancel  context.CancelFunc
	waiting int // guarded by flights.mu
	done    chan struct{}

	// Once done is closed:
	messages []*Message
	upto     ID
	gap      *Gap
	err      error
}

// read reads a page for a reader. A page that begins further back will do, too,
// if the reader's position was verified (known) or is an event of the page. The
// messages are shared.
func (fs *flights) read(ctx context.Context, b Broker, q Query, known bool) (ms []*Message, upto ID, gap *Gap, err error) {
	for exact := false; ; exact = true {
		f := fs.board(ctx, b, q, exact)
		select {
		case <-f.done:
			fs.leave(q.Topics, f)
		case <-ctx.Done():
			fs.leave(q.Topics, f)
			return nil, ID{}, nil, ctx.Err()
		}
		if f.err != nil {
			return nil, ID{}, nil, f.err
		}
		if f.after == q.After || f.serves(q.After, known) {
			ms, gap = f.from(q.After)
			return ms, f.upto, gap, nil
		}
	}
}

// board returns a flight that a reader can share, or starts one.
func (fs *flights) board(ctx context.Context, b Broker, q Query, exact bool) *flight {
	key := strings.Join(q.Topics, "\n")
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.of[key]
	if f != nil && (f.after == q.After || !exact && f.after.Epoch == q.After.Epoch && f.after.Seq < q.After.Seq) {
		f.waiting++
		return f
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // not the first one's to end
	f = &flight{after: q.After, cancel: cancel, waiting: 1, done: make(chan struct{})}
	if fs.of == nil {
		fs.of = map[string]*flight{}
	}
	fs.of[key] = f
	go f.fly(ctx, b, q)
	return f
}

// serves reports whether a page that begins further back has what a reader
// needs, which its cursor must not be wrong for.
func (f *flight) serves(after ID, known bool) bool {
	if f.upto.Epoch != after.Epoch || f.upto.Seq <= after.Seq || f.gap != nil && f.gap.Reason == ReasonEpoch {
		return false
	}
	return known || slices.ContainsFunc(f.messages, func(m *Message) bool { return m.ID == after })
}

// leave is for a reader that has its page, or its client has left.
func (fs *flights) leave(topics []string, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if key := strings.Join(topics, "\n"); fs.of[key] == f {
		select {
		case <-f.done: // who comes now may need more than it has
			delete(fs.of, key)
		default:
			if f.waiting == 1 {
				delete(fs.of, key)
			}
		}
	}
	if f.waiting--; f.waiting == 0 {
		f.cancel()
	}
}

func (f *flight) fly(ctx context.Context, b Broker, q Query) {
	defer close(f.done)
	p, err := b.History(ctx, q)
	f.upto, f.gap, f.err = p.Upto, p.Gap, err
	f.messages = make([]*Message, len(p.Events))
	for i := range p.Events {
		f.messages[i] = NewMessage(p.Events[i])
	}
}

// from returns what the page has after a position, and the gap from there on.
func (f *flight) from(after ID) ([]*Message, *Gap) {
	ms, gap := f.messages, f.gap
	if gap != nil {
		own := *gap
		gap = &own
	}
	if after == f.after {
		return ms, gap
	}
	for len(ms) > 0 && ms[0].ID.Seq <= after.Seq {
		ms = ms[1:]
	}
	switch {
	case gap == nil:
	case gap.To.Seq <= after.Seq:
		gap = nil
	default:
		gap.From = after
	}
	return ms, gap
}
