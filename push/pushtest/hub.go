package pushtest

import (
	"context"
	"errors"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var hubOptions = []push.HubOption{push.WithDrainWindow(0)}

// tinyWindow returns a hub that keeps next to nothing of the log. It takes any
// broker for one of another process, a *push.Memory, too.
func tinyWindow(b push.Broker) *push.Hub {
	return push.NewHub(struct{ push.Broker }{b}, append(hubOptions, push.WithWindow(2, 1<<20))...)
}

// hubBroker has a hub and its subscriptions look like a broker.
type hubBroker struct{ *push.Hub }

// overHub returns the broker that a hub is once it follows its own.
func overHub(t *env, h *push.Hub) push.Broker {
	t.eventually("the hub follows its broker", func() bool { return h.Ready() == nil })
	return hubBroker{h}
}

// Close implements push.Broker.
func (b hubBroker) Close(ctx context.Context) error { return b.Shutdown(ctx) }

// Tail implements push.Broker with a subscription to all topics.
func (b hubBroker) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	from, removed := push.After(after), push.ID{}
	if after.IsZero() {
		head, err := b.Head(ctx)
		if err != nil {
			return err
		}
		from, removed = push.FromOldest(), head
	}
	sub, err := b.subscribe(ctx, from)
	if err != nil {
		return drained(err)
	}
	defer sub.Close()
	for {
		batch, err := sub.Next(ctx)
		if err != nil {
			return drained(err)
		}
		if g := batch.Gap; g != nil && (g.Reason == push.ReasonEpoch || g.To.Seq > removed.Seq) {
			return tailError(g)
		}
		if events := eventsOf(batch); len(events) > 0 {
			if err := deliver(events); err != nil {
				return err
			}
		}
	}
}

// subscribe waits while the hub has lost its broker.
func (b hubBroker) subscribe(ctx context.Context, from push.Start) (*push.Subscription, error) {
	for {
		sub, err := b.Subscribe(ctx, []string{"**"}, from)
		if !errors.Is(err, push.ErrNotReady) {
			return sub, err
		}
		select {
		case <-time.After(pollPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func tailError(g *push.Gap) error {
	if g.Reason == push.ReasonEpoch {
		return push.ErrEpoch
	}
	return &push.TailGap{From: g.From, To: g.To}
}

// drained makes the end of a stream at a hub's shutdown that of a closed
// broker.
func drained(err error) error {
	var end *push.CloseError
	if errors.As(err, &end) && end.Code == push.CloseDrain {
		return push.ErrClosed
	}
	return err
}

func eventsOf(b push.Batch) []push.Event {
	events := make([]push.Event, len(b.Messages))
	for i, m := range b.Messages {
		events[i] = m.Event
	}
	return events
}
