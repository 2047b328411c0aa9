package pushtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// idemOf returns what an event's idempotency key is remembered by.
func idemOf(e push.Event) string { return e.Topic + "\n" + e.Idem }

var publishMutants = []mutant{
	{breaks: "Publish/order", how: "appends a batch backwards", broker: func(b *broken) {
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			slices.Reverse(events)
			ids, err := next(ctx, events)
			slices.Reverse(ids)
			return ids, err
		}
	}},
	{breaks: "Publish/order", how: "returns the IDs in another order", broker: func(b *broken) {
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			ids, err := next(ctx, events)
			slices.Reverse(ids)
			return ids, err
		}
	}},
	{breaks: "Publish/fields", how: "drops the key", broker: func(b *broken) {
		b.publishes(func(e *push.Event) { e.Key = "" })
	}},
	{breaks: "Publish/fields", how: "keeps text only", broker: func(b *broken) {
		b.publishes(func(e *push.Event) { e.Data = []byte(strings.ToValidUTF8(string(e.Data), "?")) })
	}},
	{breaks: "Publish/fields", how: "changes line ends", broker: func(b *broken) {
		b.publishes(func(e *push.Event) { e.Data = []byte(strings.ReplaceAll(string(e.Data), "\r\n", "\n")) })
	}},
	{breaks: "Publish/visible", how: "acknowledges before History has the event", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) {
			if n := len(p.Events); n > 0 && p.Events[n-1].ID == b.at() {
				p.Events = p.Events[:n-1]
			}
		})
	}},
	{breaks: "Publish/copies_data", how: "aliases Data", broker: func(b *broken) {
		var mu sync.Mutex
		given := map[push.ID][]byte{}
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			mu.Lock()
			defer mu.Unlock()
			ids, err := next(ctx, events)
			for i, id := range ids {
				given[id] = events[i].Data
			}
			return ids, err
		}
		b.shows(func(e *push.Event) {
			mu.Lock()
			defer mu.Unlock()
			e.Data = given[e.ID]
		})
	}},
	{breaks: "Publish/copies_meta", how: "aliases Meta", broker: func(b *broken) {
		var mu sync.Mutex
		given := map[push.ID]map[string]string{}
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			mu.Lock()
			defer mu.Unlock()
			ids, err := next(ctx, events)
			for i, id := range ids {
				given[id] = events[i].Meta
			}
			return ids, err
		}
		b.shows(func(e *push.Event) {
			mu.Lock()
			defer mu.Unlock()
			e.Meta = given[e.ID]
		})
	}},
	{breaks: "Publish/time", how: "leaves a zero Time", broker: func(b *broken) {
		b.publishes(func(e *push.Event) {
			if e.Time.IsZero() {
				e.Time = time.Unix(0, 0)
			}
		})
	}},
	{breaks: "Publish/time", how: "sets every Time to now", broker: func(b *broken) {
		b.publishes(func(e *push.Event) { e.Time = time.Time{} })
	}},
	{breaks: "Publish/idem", how: "ignores Idem", broker: func(b *broken) {
		b.publishes(func(e *push.Event) { e.Idem = "" })
	}},
	{breaks: "Publish/idem", how: "takes the Idem of another topic for the same", broker: func(b *broken) {
		topics := map[string]string{}
		b.publishes(func(e *push.Event) {
			if topics[e.Idem] == "" {
				topics[e.Idem] = e.Topic
			}
			if e.Idem != "" {
				e.Topic = topics[e.Idem]
			}
		})
	}},
	{breaks: "Publish/idem", how: "takes an empty Idem for a key", broker: func(b *broken) {
		b.publishes(func(e *push.Event) {
			if e.Idem == "" {
				e.Idem = "none"
			}
		})
	}},
	{breaks: "Publish/idem_of_gone", how: "forgets Idem with the event", broker: func(b *broken) {
		b.publishes(func(e *push.Event) {
			same := func(k push.Event) bool { return idemOf(k) == idemOf(*e) }
			if e.Idem != "" && !slices.ContainsFunc(b.kept("**"), same) {
				e.Idem += time.Now().String() + strings.Repeat("!", int(b.at().Seq))
			}
		})
	}},
	{breaks: "Publish/idem_window", how: "forgets Idem after a minute", broker: func(b *broken) {
		first := time.Now()
		b.publishes(func(e *push.Event) {
			if time.Since(first) > time.Minute {
				e.Idem = ""
			}
		})
	}},
	{breaks: "Publish/idem_window", how: "never forgets Idem", broker: func(b *broken) {
		known := map[string]push.ID{}
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			if id, ok := known[idemOf(events[0])]; ok {
				return []push.ID{id}, nil
			}
			ids, err := next(ctx, events)
			known[idemOf(events[0])] = ids[0]
			return ids, err
		}
	}},
	{breaks: "Publish/error", how: "returns IDs at other indices after an error", broker: func(b *broken) {
		b.failing(func(ids []push.ID) []push.ID { return []push.ID{{}, ids[0]} })
	}},
	{breaks: "Publish/error", how: "returns IDs of events that it lost", broker: func(b *broken) {
		b.failing(func(ids []push.ID) []push.ID { return append(ids, push.ID{Epoch: ids[0].Epoch, Seq: ids[0].Seq + 1}) })
	}},
	{breaks: "Publish/error", how: "appends again what it appended before an error", broker: func(b *broken) {
		b.publishes(func(e *push.Event) { e.Idem = "" })
		b.failing(func([]push.ID) []push.ID { return nil })
	}},
	{breaks: "Publish/ended_context", how: "publishes on an ended context", broker: func(b *broken) {
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			ids, err := next(context.WithoutCancel(ctx), events)
			return ids, errors.Join(err, ctx.Err())
		}
	}},
	{breaks: "Publish/ended_context", how: "says nothing of an ended context", broker: func(b *broken) {
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			ids, _ := next(ctx, events)
			return ids, nil
		}
	}},
	{breaks: "Publish/nothing", how: "appends an empty event for none", broker: func(b *broken) {
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			if len(events) == 0 {
				_, err := next(ctx, []push.Event{ev("empty", "")})
				return nil, err
			}
			return next(ctx, events)
		}
	}},
	{breaks: "Concurrent/use", how: "loses what is published at once", broker: func(b *broken) {
		var mu sync.Mutex
		running := 0
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			mu.Lock()
			running++
			lost := running > 1
			mu.Unlock()
			time.Sleep(time.Millisecond) // of the bubble: all publishers are here
			mu.Lock()
			defer mu.Unlock()
			running--
			if lost {
				return []push.ID{b.at()}, nil
			}
			return next(ctx, events)
		}
	}},
	{breaks: "Concurrent/use", how: "moves the head back", broker: movesHeadBack},
	{breaks: "Concurrent/nothing_appears_below", how: "shows events before those below them", broker: func(b *broken) {
		shown := map[uint64]bool{}
		b.answers(func(_ push.Query, p *push.Page) {
			p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool {
				hide := e.ID.Seq%10 == 3 && !shown[e.ID.Seq]
				shown[e.ID.Seq] = true
				return hide
			})
		})
	}},
}

// failing has the first attempt at every batch append its first event only and
// fail, with the IDs that say returns.
func (b *broken) failing(say func(ids []push.ID) []push.ID) {
	seen := map[string]bool{}
	next := b.publish
	b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
		if key := string(events[0].Data); !seen[key] {
			seen[key] = true
			ids, err := next(context.WithoutCancel(ctx), events[:1])
			if err != nil {
				return nil, err
			}
			return say(ids), errors.New("the connection broke")
		}
		return next(ctx, events)
	}
}

// A broker whose batches fail halfway is within the contract.
func failsHalfway(b *broken) {
	b.failing(func(ids []push.ID) []push.ID { return ids })
}
