package push

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// follower keeps a hub's window at the tail of its broker.
type follower struct {
	broker Broker
	log    *log
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	state error
}

func follow(b Broker, l *log) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{broker: b, log: l, cancel: cancel, done: make(chan struct{}), state: ErrNotReady}
	go f.run(ctx)
	return f
}

func (f *follower) stop() {
	f.cancel()
	<-f.done
}

func (f *follower) ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *follower) setState(err error) {
	f.mu.Lock()
	f.state = err
	f.mu.Unlock()
}

// run restarts Tail for as long as the hub lives. Where the window cannot go
// on it is moved, and readers below it turn to History.
func (f *follower) run(ctx context.Context) {
	defer close(f.done)
	wait := minBackoff
	for ctx.Err() == nil {
		before := f.position()
		err := f.tail(ctx)
		var gap *TailGap
		switch {
		case errors.Is(err, ErrClosed):
			f.setState(ErrClosed)
			f.log.shut(ErrClosed)
			return
		case errors.As(err, &gap):
			f.log.moveWindow(gap.To)
			if gap.To != before { // else the broker turns in circles
				wait = minBackoff
				continue
			}
		case errors.Is(err, ErrEpoch):
			f.setState(ErrNotReady)
			f.log.moveWindow(ID{}) // the next tail starts at the new head
			wait = minBackoff
		default:
			f.setState(fmt.Errorf("%w: %w", ErrNotReady, err))
		}
		if f.position() != before {
			wait = minBackoff
		}
		pause(ctx, nil, wait/2+rand.N(wait/2))
		wait = min(2*wait, maxBackoff)
	}
}

// maxBackoff bounds how long readers wait on after the broker is back; a question
// a second from each node costs it nothing.
const minBackoff, maxBackoff = 50 * time.Millisecond, time.Second

func (f *follower) position() ID {
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	return f.log.head
}

func (f *follower) tail(ctx context.Context) error {
	head, err := f.broker.Head(ctx)
	if err != nil {
		return err
	}
	if f.position().IsZero() {
		f.log.moveWindow(head)
	}
	f.setState(nil)
	return f.broker.Tail(ctx, f.position(), func(events []Event) error {
		f.log.appendTail(events)
		return nil
	})
}

// moveWindow empties a window and lets it begin after id. Readers with another
// position read the broker's History until they reach it.
func (l *log) moveWindow(id ID) {
	l.mu.Lock()
	l.wakeAll() // they have seen everything up to the old head
	for m := l.all.ring.front(); m != nil; m = l.all.ring.front() {
		t := l.topics[m.Topic]
		l.removeOldest(t)
		l.freeTopic(t)
	}
	if id.Epoch != l.head.Epoch {
		l.all.sentinel = 0
		for _, t := range l.topics {
			t.sentinel = 0
		}
		for _, f := range l.patterns {
			f.sentinel = 0
		}
	}
	for _, f := range l.patterns {
		f.from = id.Seq
	}
	l.head, l.floor = id, id.Seq
	l.mu.Unlock()
}

// appendTail appends what a broker's Tail delivered. What is not new is
// dropped: a broker that doubles or reorders breaks its contract, but it must
// not break the readers'.
func (l *log) appendTail(events []Event) {
	l.mu.Lock()
	now := l.now()
	for i := range events {
		if e := &events[i]; e.ID.Epoch == l.head.Epoch && e.ID.Seq > l.head.Seq {
			m := NewMessage(*e)
			m.added = now
			l.append(m)
		}
	}
	l.mu.Unlock()
}
