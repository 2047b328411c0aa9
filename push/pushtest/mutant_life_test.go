package pushtest

import (
	"context"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var lifeMutants = []mutant{
	{breaks: "Head/newest", how: "is one event behind", broker: func(b *broken) {
		var last, newest push.ID
		b.head = func(ctx context.Context) (push.ID, error) {
			id, err := b.Broker.Head(ctx)
			if id != newest {
				last, newest = newest, id
			}
			return last, err
		}
	}},
	{breaks: "Head/newest", how: "does not know its check", broker: func(b *broken) {
		b.head = func(ctx context.Context) (push.ID, error) {
			id, err := b.Broker.Head(ctx)
			return push.ID{Epoch: id.Epoch, Seq: id.Seq}, err
		}
	}},
	{breaks: "Head/empty", how: "has no epoch while it is empty", broker: headless},
	{breaks: "Head/never_back", how: "answers from a replica that lags", broker: movesHeadBack},
	{breaks: "Close/methods", how: "answers after Close", broker: staysOpen},
	{breaks: "Close/methods", how: "has an empty page after Close", broker: func(b *broken) {
		next := b.history
		b.history = func(ctx context.Context, q push.Query) (push.Page, error) {
			p, _ := next(ctx, q)
			return p, nil
		}
	}},
	{breaks: "Close/tails", how: "leaves its Tails running", broker: staysOpen},
	{breaks: "Close/tails", how: "ends its Tails without ErrClosed", broker: func(b *broken) {
		b.ends(func(error) error { return nil })
	}},
	{breaks: "Close/tails", how: "delivers after Close", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			var last []push.Event
			err := next(ctx, after, func(events []push.Event) error {
				last = events
				return deliver(events)
			})
			if last != nil {
				_ = deliver(last)
			}
			return err
		}
	}},
	{breaks: "Close/frees", how: "leaves a goroutine behind", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			go time.Sleep(leftBehind)
			return next(ctx, after, deliver)
		}
	}},
	{breaks: "Close/again", how: "does not like to be closed again", broker: func(b *broken) {
		closed := false
		b.close = func(ctx context.Context) error {
			if closed {
				return push.ErrClosed
			}
			closed = true
			return b.Broker.Close(ctx)
		}
	}},
}

// staysOpen ignores Close.
func staysOpen(b *broken) {
	b.close = func(context.Context) error { return nil }
}

// movesHeadBack returns an old head every other time.
func movesHeadBack(b *broken) {
	old, calls := b.at(), 0
	b.head = func(ctx context.Context) (push.ID, error) {
		id, err := b.Broker.Head(ctx)
		if calls++; calls%2 == 0 {
			return old, err
		}
		return id, err
	}
}

var engineMutants = []mutant{
	{breaks: "Purge/gap", how: "loses a topic at a purge", broker: withoutGaps},
	{breaks: "Purge/gap", how: "purges nothing", engine: func(in *Instance) {
		in.Purge = func(context.Context, string) error { return nil }
	}},
	{breaks: "Purge/head", how: "has the newest event that is left for the head", broker: func(b *broken) {
		b.head = func(ctx context.Context) (push.ID, error) {
			id, err := b.Broker.Head(ctx)
			if kept := b.kept("**"); len(kept) > 0 {
				return kept[len(kept)-1].ID, err
			}
			return push.ID{Epoch: id.Epoch}, err
		}
	}},
	{breaks: "Purge/tail", how: "skips what was purged", broker: skipsSilently},
	{breaks: "Lose/new_epoch", how: "has one epoch for ever", broker: oneEpoch},
	{breaks: "Lose/positions", how: "has one epoch for ever", broker: oneEpoch},
	{breaks: "Lose/tail", how: "goes on with the new log", broker: ignoresNewEpochs},
	{breaks: "Rewind/positions", how: "has one epoch for ever", broker: oneEpoch},
	{breaks: "Rewind/tail", how: "goes on with the new log", broker: ignoresNewEpochs},
	{breaks: "Restart/keeps", how: "loses the newest event at a restart", engine: forgetful},
	{breaks: "Restart/tail", how: "starts at the head when Tail is called again", broker: func(b *broken) {
		again := false
		b.takes(func(after push.ID) push.ID {
			if again {
				return b.at()
			}
			again = true
			return after
		})
	}},
	{breaks: "Restart/tail", how: "delivers again what it had delivered when the engine went away", broker: func(b *broken) {
		b.takes(func(after push.ID) push.ID {
			if after.Seq > 1 {
				return push.ID{Epoch: after.Epoch, Seq: after.Seq - 1}
			}
			return after
		})
	}},
	{breaks: "Reopen/same_log", how: "has a log of its own for each broker", engine: func(in *Instance) {
		in.Reopen = func(context.Context) (push.Broker, error) { return push.NewMemory(), nil }
	}},
	{breaks: "Reopen/idem", how: "remembers Idem in the broker", broker: func(b *broken) {
		own := push.NewConnectionID()
		b.publishes(func(e *push.Event) { e.Idem = own + e.Idem })
	}},
	{breaks: "Store/same", how: "makes a new store each time", broker: func(b *broken) {
		b.store = func() push.Store { return push.NewMemoryStore(0) }
	}},
	{breaks: "Reopen/store", how: "has a store of its own for each broker", broker: func(b *broken) {
		own := push.NewMemoryStore(0)
		b.store = func() push.Store { return own }
	}},
	{breaks: "Reopen/close", how: "closes the log with a broker", engine: func(in *Instance) {
		one := newBroken(in.Broker)
		lose := in.Lose
		one.close = func(ctx context.Context) error {
			_ = lose(ctx)
			return one.Broker.Close(ctx)
		}
		in.Broker = one
	}},
	{breaks: "Random/history", how: "forgets what it removed", broker: withoutGaps},
	{breaks: "Random/history", how: "skips silently", broker: skipsSilently},
	{breaks: "Random/history", how: "counts the page limit before hiding", broker: countsBeforeHiding},
	{breaks: "Subscription/random", how: "forgets what it removed", broker: withoutGaps},
	{breaks: "Subscription/random", how: "counts the page limit before hiding", broker: countsBeforeHiding},
	{breaks: "Subscription/lagged", how: "forgets what it removed", broker: withoutGaps},
	{breaks: "Subscription/lose", how: "has one epoch for ever", broker: oneEpoch},
	{breaks: "Subscription/restart", how: "loses the newest event at a restart", engine: forgetful},
}

func forgetful(in *Instance) {
	rewind := in.Rewind
	in.Restart = func(ctx context.Context) error { return rewind(ctx, 1) }
}

// oneEpoch has the same epoch for every log, and no checks.
func oneEpoch(b *broken) {
	const epoch = 7
	out := func(id *push.ID) { *id = push.ID{Epoch: epoch, Seq: id.Seq} }
	b.takes(func(id push.ID) push.ID {
		if head := b.at(); id.Epoch == epoch {
			return push.ID{Epoch: head.Epoch, Seq: min(id.Seq, head.Seq)}
		}
		return id
	})
	b.shows(func(e *push.Event) { out(&e.ID) })
	b.answers(func(_ push.Query, p *push.Page) {
		if out(&p.Upto); p.Gap != nil {
			out(&p.Gap.From)
			out(&p.Gap.To)
		}
	})
	b.head = func(ctx context.Context) (push.ID, error) {
		id, err := b.Broker.Head(ctx)
		out(&id)
		return id, err
	}
	next := b.publish
	b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
		ids, err := next(ctx, events)
		for i := range ids {
			out(&ids[i])
		}
		return ids, err
	}
}
