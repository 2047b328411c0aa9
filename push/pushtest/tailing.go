package pushtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// tailing is a Tail that runs, and what it delivered.
type tailing struct {
	*env
	cancel context.CancelFunc
	news   chan struct{} // of capacity 1
	done   chan struct{}
	err    error // once done is closed

	mu      sync.Mutex
	events  []push.Event
	empty   int // batches without events
	inside  int // calls of deliver that run
	most    int // the most that ran at a time
	returns bool
	late    int // calls after Tail returned
}

// tail runs Tail until the check ends.
func (b *subject) tail(after push.ID) *tailing { return b.tailWith(after, nil) }

// tailWith runs Tail and calls deliver, if it is not nil, before it notes a
// batch.
func (b *subject) tailWith(after push.ID, deliver func([]push.Event) error) *tailing {
	return b.tailBy(b.Tail, after, deliver)
}

// tailOn runs Tail as a hub does, until the check ends: an engine that is away
// does not end it.
func (b *subject) tailOn(after push.ID) *tailing { return b.tailBy(b.tailAgain, after, nil) }

func (b *subject) tailAgain(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	for {
		err := b.Tail(ctx, after, func(events []push.Event) error {
			if len(events) > 0 {
				after = events[len(events)-1].ID
			}
			return deliver(events)
		})
		if ctx.Err() != nil || isFinal(err) {
			return err
		}
		b.pause(pollPause)
	}
}

// isFinal reports whether it makes no sense to call a Tail again that ended with
// err.
func isFinal(err error) bool {
	var gap *push.TailGap
	return err == nil || errors.As(err, &gap) || errors.Is(err, push.ErrEpoch) || errors.Is(err, push.ErrClosed)
}

type tailFunc = func(context.Context, push.ID, func([]push.Event) error) error

func (b *subject) tailBy(tail tailFunc, after push.ID, deliver func([]push.Event) error) *tailing {
	ctx, cancel := context.WithCancel(b.Context())
	r := &tailing{env: b.env, cancel: cancel, news: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = tail(ctx, after, func(events []push.Event) error { return r.deliver(events, deliver) })
		r.mu.Lock()
		r.returns = true
		r.mu.Unlock()
	}()
	b.Cleanup(func() {
		cancel()
		select {
		case <-r.done:
		case <-time.After(guard):
			b.Errorf("Tail did not return %v after its context had ended", guard)
		}
	})
	return r
}

func (r *tailing) deliver(events []push.Event, also func([]push.Event) error) (err error) {
	r.mu.Lock()
	r.inside++
	r.most = max(r.most, r.inside)
	if r.returns {
		r.late++
	}
	r.mu.Unlock()
	if also != nil {
		err = also(events)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside--
	if len(events) == 0 {
		r.empty++
	}
	r.events = append(r.events, events...)
	select {
	case r.news <- struct{}{}:
	default:
	}
	return err
}

// got returns what was delivered so far.
func (r *tailing) got() []push.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// ended reports whether Tail has returned.
func (r *tailing) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// until waits until an event was delivered and returns all up to then.
func (r *tailing) until(id push.ID) []push.Event {
	r.Helper()
	if !r.reaches(id) {
		r.Fatalf("Tail returned (%v) before it delivered #%d, after %s", r.err, id.Seq, show(r.got()))
	}
	return r.got()
}

// reaches waits until the event upto or a later one was delivered; false if
// Tail ended before.
func (r *tailing) reaches(upto push.ID) bool {
	r.Helper()
	timeout := time.After(guard)
	for {
		ended := r.ended()
		if slices.ContainsFunc(r.got(), func(e push.Event) bool { return e.ID.Seq >= upto.Seq }) {
			return true
		}
		if ended {
			return false
		}
		select {
		case <-r.news:
		case <-r.done:
		case <-timeout:
			r.Fatalf("Tail did not deliver #%d in %v, but %s", upto.Seq, guard, show(r.got()))
		}
	}
}

// end waits until Tail returned.
func (r *tailing) end() error {
	r.Helper()
	select {
	case <-r.done:
	case <-time.After(guard):
		r.Fatalf("Tail did not return in %v", guard)
	}
	return r.err
}

// stop ends Tail's context and waits until it returned.
func (r *tailing) stop() error {
	r.Helper()
	r.cancel()
	return r.end()
}

func (r *tailing) mostAtOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

func (r *tailing) lateCalls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.late
}

// follow tails the log from a position to an event, over all gaps.
func (b *subject) follow(after, upto push.ID) passage {
	b.Helper()
	return b.followOn(b.tail(after), passage{topics: []string{"**"}, after: after, upto: upto})
}

// followOn follows the log from where r is.
func (b *subject) followOn(r *tailing, p passage) passage {
	b.Helper()
	for p.topics = []string{"**"}; ; {
		reached := r.reaches(p.upto)
		err := r.stop()
		p.events = append(p.events, r.got()...)
		if reached {
			return p
		}
		var gap *push.TailGap
		if !errors.As(err, &gap) {
			b.Fatalf("Tail returned %v before it delivered #%d, after %s", err, p.upto.Seq, show(p.events))
		}
		p.gaps = append(p.gaps, push.Gap{From: gap.From, To: gap.To})
		if gap.To.Seq >= p.upto.Seq {
			return p
		}
		r = b.tail(gap.To)
	}
}
