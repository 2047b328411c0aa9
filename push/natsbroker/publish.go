package natsbroker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

// Publish implements push.Broker. Events are pipelined: all are on their way
// before the first is acknowledged. It fails at once while the connection is
// down, and after Config.Timeout if the server does not answer.
func (b *Broker) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	if len(events) == 0 && !b.closed() {
		return nil, ctx.Err()
	}
	inner, cancel, err := b.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	limit := b.nc.MaxPayload()
	for i := range events {
		if err := b.fits(&events[i], limit); err != nil {
			return nil, err
		}
	}
	f := flight{b: b, pub: b.publishing(), events: events, ids: make([]push.ID, len(events)), acks: make([]jetstream.PubAckFuture, 0, len(events))}
	ids, err := f.fly(inner)
	if errors.Is(context.Cause(inner), errNoAnswer) || errors.Is(err, jetstream.ErrTooManyStalledMsgs) {
		b.republish(f.pub)
	}
	return ids, b.explain(ctx, inner, err)
}

func (b *Broker) publishing() jetstream.JetStream {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pub
}

// republish gives up what a publisher waits for. That has no time-out of its own:
// a timer an event would cost more than the rest of publishing it.
func (b *Broker) republish(old jetstream.JetStream) {
	b.mu.Lock()
	if b.pub == old && !b.closed() {
		b.pub = b.publisher()
	}
	b.mu.Unlock()
	old.CleanupPublisher()
}

// flight is a list of events on their way.
type flight struct {
	b      *Broker
	pub    jetstream.JetStream
	events []push.Event
	ids    []push.ID
	acks   []jetstream.PubAckFuture
	back   bool // a new event got a sequence that was taken
}

func (f *flight) fly(ctx context.Context) ([]push.ID, error) {
	seen, err := f.b.ready(ctx)
	if err != nil {
		return nil, err
	}
	var failed error
	for len(f.acks) < len(f.events) && failed == nil {
		n := len(f.acks)
		failed = f.send(min(n+maxInFlight/4, len(f.events)))
		if err := f.await(ctx, n, seen); failed == nil {
			failed = err
		}
	}
	epoch := seen.Epoch
	if f.back {
		s, err := f.b.look(ctx)
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		epoch = s.epoch
	}
	newest := push.ID{}
	for i := range f.ids {
		if f.ids[i].Seq == 0 {
			f.ids[i] = push.ID{}
			continue
		}
		f.ids[i].Epoch = epoch
		if f.ids[i].Seq > newest.Seq {
			newest = f.ids[i]
		}
	}
	if !newest.IsZero() && !f.back {
		f.b.note(newest)
	}
	return f.ids, failed
}

// ready returns the newest position that is known. It looks at the log if there
// is a doubt: a server that was away may have lost the end of it.
func (b *Broker) ready(ctx context.Context) (push.ID, error) {
	b.mu.Lock()
	seen, fresh := b.seen, !b.stale && b.gen == b.nc.Stats().Reconnects
	b.mu.Unlock()
	if fresh {
		return seen, nil
	}
	s, err := b.look(ctx)
	return s.head, err
}

// send publishes the events up to n. Each is encoded when the ones before it are
// on their way.
func (f *flight) send(n int) error {
	opts := []jetstream.PublishOpt{jetstream.WithRetryAttempts(0), jetstream.WithStallWait(f.b.cfg.Timeout)}
	header := nats.Header{}
	for i := len(f.acks); i < n; i++ {
		m, check := f.b.encode(&f.events[i], header)
		f.ids[i].Check = check
		ack, err := f.pub.PublishMsgAsync(m, opts...)
		if err != nil {
			return err
		}
		f.acks = append(f.acks, ack)
	}
	return nil
}

// await takes the acknowledgements from the one at n on. It returns the first
// error, and all that is known.
func (f *flight) await(ctx context.Context, n int, seen push.ID) (failed error) {
	for i := n; i < len(f.acks); i++ {
		select {
		case ack := <-f.acks[i].Ok():
			f.ids[i].Seq = ack.Sequence
			f.back = f.back || !ack.Duplicate && ack.Sequence <= seen.Seq
		case err := <-f.acks[i].Err():
			if failed == nil {
				failed = err
			}
		case <-ctx.Done():
			if failed == nil {
				failed = context.Cause(ctx)
			}
			return failed
		}
	}
	return failed
}

// keepTicking publishes ticks while a log is tailed. A tick ages like any event;
// the oldest one keeps the stream's beginning where age has removed everything
// before it, however much the topics have trimmed.
func (b *Broker) keepTicking(ctx context.Context) error {
	if b.cfg.Age <= 0 && b.cfg.MaxBytes <= 0 {
		return nil
	}
	var last uint64
	switch m, err := b.get(ctx, getRequest{LastFor: b.tick()}); {
	case err == nil && time.Since(m.time) < b.tickEvery():
		return nil
	case err == nil:
		last = m.seq
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	return b.publishTick(ctx, nats.Header{}, jetstream.WithExpectLastSequencePerSubject(last))
}

// tickEvery is short enough for gaps to be exact to a sixteenth of the age, and
// long enough for ticks to go by age and not by their number.
func (b *Broker) tickEvery() time.Duration {
	age := b.cfg.Age
	if age <= 0 {
		age = push.DefaultAge
	}
	if n := b.cfg.Count; n > 0 && n < 16 {
		return age / time.Duration(n)
	}
	return age / 16
}
