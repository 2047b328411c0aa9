package pushtest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/dualpush-go/dualpush/push"
)

var tailMutants = []mutant{
	{breaks: "Tail/all_after", how: "doubles", broker: func(b *broken) {
		b.delivers(func(events []push.Event) []push.Event { return append(events, events[len(events)-1]) })
	}},
	{breaks: "Tail/all_after", how: "reorders", broker: func(b *broken) {
		b.delivers(func(events []push.Event) []push.Event {
			slices.Reverse(events)
			return events
		})
	}},
	{breaks: "Tail/all_after", how: "loses an event", broker: func(b *broken) {
		b.delivers(func(events []push.Event) []push.Event {
			return slices.DeleteFunc(events, func(e push.Event) bool { return e.ID.Seq == 20 })
		})
	}},
	{breaks: "Tail/all_after", how: "delivers the event of its position again", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			return next(ctx, push.ID{Epoch: after.Epoch, Seq: max(after.Seq, 1) - 1}, deliver)
		}
	}},
	{breaks: "Tail/zero", how: "takes the zero ID for the head", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			if after.IsZero() {
				after = b.at()
			}
			return next(ctx, after, deliver)
		}
	}},
	{breaks: "Tail/zero", how: "makes a TailGap from the zero ID", broker: beginsAtZero},
	{breaks: "Tail/batches_not_empty", how: "delivers empty batches", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			return next(ctx, after, func(events []push.Event) error {
				return errors.Join(deliver(nil), deliver(events))
			})
		}
	}},
	{breaks: "Tail/waits", how: "returns at the head", broker: func(b *broken) {
		done := errors.New("done")
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			err := next(ctx, after, func(events []push.Event) error {
				err := deliver(events)
				if err == nil && events[len(events)-1].ID == b.at() {
					err = done
				}
				return err
			})
			if errors.Is(err, done) {
				return nil
			}
			return err
		}
	}},
	{breaks: "Tail/context", how: "returns nil when its context ends", broker: func(b *broken) {
		b.ends(func(err error) error {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})
	}},
	{breaks: "Tail/context", how: "takes every end of a context for Canceled", broker: func(b *broken) {
		b.ends(func(err error) error {
			if errors.Is(err, context.DeadlineExceeded) {
				return context.Canceled
			}
			return err
		})
	}},
	{breaks: "Tail/context", how: "outlives its context", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			return next(context.WithoutCancel(ctx), after, deliver)
		}
	}},
	{breaks: "Tail/one_at_a_time", how: "calls deliver concurrently", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			var calls sync.WaitGroup
			defer calls.Wait()
			return next(ctx, after, func(events []push.Event) error {
				calls.Go(func() { _ = deliver(events) })
				return nil
			})
		}
	}},
	{breaks: "Tail/not_after_return", how: "calls deliver after Tail returned", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			ended := make(chan error, 2)
			go func() {
				ended <- next(context.WithoutCancel(ctx), after, func(events []push.Event) error {
					if err := deliver(events); err != nil && len(ended) == 0 {
						ended <- err
					}
					return nil
				})
			}()
			select {
			case err := <-ended:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}},
	{breaks: "Tail/events_are_kept", how: "reuses the memory of Data", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			buf := make([]byte, 1<<10)
			return next(ctx, after, func(events []push.Event) error {
				for i := range events {
					events[i].Data = buf[:copy(buf, events[i].Data)]
				}
				return deliver(events)
			})
		}
	}},
	{breaks: "Tail/deliver_error", how: "ignores deliver's error", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			return next(ctx, after, func(events []push.Event) error {
				_ = deliver(events)
				return nil
			})
		}
	}},
	{breaks: "Tail/deliver_error", how: "returns another error than deliver's", broker: func(b *broken) {
		b.ends(func(err error) error {
			if errors.Is(err, errRefused) {
				return errors.New("deliver failed")
			}
			return err
		})
	}},
	{breaks: "Tail/gap_at_start", how: "skips silently", broker: skipsSilently},
	{breaks: "Tail/gap_at_start", how: "invents a TailGap", broker: func(b *broken) {
		invented := map[push.ID]bool{}
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			if kept := b.kept("**"); len(kept) > 2 && after == kept[0].ID && !invented[after] {
				invented[after] = true
				return &push.TailGap{From: after, To: kept[1].ID}
			}
			return next(ctx, after, deliver)
		}
	}},
	{breaks: "Tail/gap_while_slow", how: "skips silently", broker: skipsSilently},
	{breaks: "Tail/gap_while_slow", how: "says a wrong From", broker: func(b *broken) {
		next := b.tail
		b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
			err := next(ctx, after, deliver)
			if gap := (*push.TailGap)(nil); errors.As(err, &gap) {
				return &push.TailGap{From: after, To: gap.To}
			}
			return err
		}
	}},
	{breaks: "Tail/gap_goes_on", how: "says a To below what was removed", broker: func(b *broken) {
		b.ends(func(err error) error {
			if gap := (*push.TailGap)(nil); errors.As(err, &gap) {
				return &push.TailGap{From: gap.From, To: push.ID{Epoch: gap.To.Epoch, Seq: gap.To.Seq - 1}}
			}
			return err
		})
	}},
	{breaks: "Tail/gap_goes_on", how: "loses what survives in a TailGap", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) {
			p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool { return e.Topic == "quiet" })
		})
	}},
	{breaks: "Tail/other_epoch", how: "starts at the oldest event for a position of another epoch", broker: ignoresNewEpochs},
}

// skipsSilently goes on after every TailGap.
func skipsSilently(b *broken) {
	next := b.tail
	b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
		for {
			err := next(ctx, after, deliver)
			gap := (*push.TailGap)(nil)
			if !errors.As(err, &gap) {
				return err
			}
			after = gap.To
		}
	}
}

// ignoresNewEpochs goes on with the oldest event of a new epoch.
func ignoresNewEpochs(b *broken) {
	next := b.tail
	b.tail = func(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
		err := next(ctx, after, deliver)
		for errors.Is(err, push.ErrEpoch) {
			err = next(ctx, push.ID{}, deliver)
		}
		return err
	}
}
