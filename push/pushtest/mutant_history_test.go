package pushtest

import (
	"context"
	"slices"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var queryMutants = []mutant{
	{breaks: "History/ascending", how: "has the newest first", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			if q.Latest {
				slices.Reverse(p.Events)
			}
		})
	}},
	{breaks: "Query/topics", how: "takes no topics for all", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			if len(q.Topics) == 0 {
				q.Topics = []string{"**"}
			}
		})
	}},
	{breaks: "Query/topics", how: "takes ** for one segment or more", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			q.Topics = slices.Clone(q.Topics)
			for i, t := range q.Topics {
				if t == "a/**" {
					q.Topics[i] = "a/*/**"
				}
			}
		})
	}},
	{breaks: "Query/several_matches", how: "has an event once for each match", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			for i, e := range slices.Backward(p.Events) {
				for _, t := range q.Topics[1:] {
					if push.Match(q.Topics[0], e.Topic) && push.Match(t, e.Topic) {
						p.Events = slices.Insert(p.Events, i, e)
					}
				}
			}
		})
	}},
	{breaks: "Query/after", how: "has the event of the position again", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			if q.After.Seq > 0 {
				q.After = push.ID{Epoch: q.After.Epoch, Seq: q.After.Seq - 1}
			}
		})
	}},
	{breaks: "Query/before", how: "has the event of Before, too", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			if q.Before.Seq > 0 {
				q.Before.Seq++
			}
		})
	}},
	{breaks: "Query/before_of_other_epoch", how: "ignores the epoch of Before", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			if !q.Before.IsZero() {
				q.Before.Epoch = b.at().Epoch
			}
		})
	}},
	{breaks: "Query/before_of_other_epoch", how: "ignores a Before of another epoch", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			if q.Before.Epoch != b.at().Epoch {
				q.Before = push.ID{}
			}
		})
	}},
	{breaks: "Query/before_is_not_verified", how: "verifies Before", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			p, _ := b.Broker.History(context.Background(), push.Query{Topics: []string{"**"}, After: q.Before})
			if p.Gap != nil && p.Gap.Reason == push.ReasonEpoch {
				q.Before.Epoch = another(q.Before.Epoch)
			}
		})
	}},
	{breaks: "Query/limit", how: "returns one event too many", broker: func(b *broken) {
		b.asks(func(q *push.Query) { q.Limit++ })
	}},
	{breaks: "Query/default_limit", how: "takes no limit for none", broker: func(b *broken) {
		b.asks(func(q *push.Query) {
			if q.Limit <= 0 {
				q.Limit = 1 << 20
			}
		})
	}},
	{breaks: "Query/latest", how: "returns the oldest for the newest", broker: func(b *broken) {
		b.asks(func(q *push.Query) { q.Latest = false })
	}},
}

// countsBeforeHiding reads a page of all topics and then hides what does not
// match: with fewer events than Limit it takes the page for the last.
func countsBeforeHiding(b *broken) {
	next := b.history
	b.history = func(ctx context.Context, q push.Query) (push.Page, error) {
		topics := q.Topics
		q.Topics = []string{"**"}
		p, err := next(ctx, q)
		p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool { return !matches(topics, e) })
		if len(p.Events) < limitOf(q) {
			p.Upto = b.at()
		}
		return p, err
	}
}

var pageMutants = []mutant{
	{breaks: "Page/complete", how: "counts the page limit before hiding", broker: countsBeforeHiding},
	{breaks: "Page/complete", how: "loses at a trim", broker: withoutGaps},
	{breaks: "Page/limit_counts_what_is_returned", how: "returns what is left of Limit after hiding", broker: func(b *broken) {
		next := b.history
		b.history = func(ctx context.Context, q push.Query) (push.Page, error) {
			topics := q.Topics
			q.Topics = []string{"**"}
			p, err := next(ctx, q)
			p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool { return !matches(topics, e) })
			return p, err
		}
	}},
	{breaks: "Page/large_events", how: "drops what is too large for a page", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) {
			if len(p.Events) > 2 && len(p.Events[0].Data) > 1<<16 {
				p.Events = p.Events[:2]
			}
		})
	}},
	{breaks: "Page/large_events", how: "returns no event rather than a large one", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			if len(p.Events) > 0 && len(p.Events[0].Data) > 1<<16 {
				p.Events, p.Upto = nil, q.After
			}
		})
	}},
	{breaks: "Page/upto_of_a_cut_page", how: "says the head for Upto", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) { p.Upto = b.at() })
	}},
	{breaks: "Page/upto_of_a_whole_page", how: "says the last event's ID for Upto", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) {
			if n := len(p.Events); n > 0 {
				p.Upto = p.Events[n-1].ID
			}
		})
	}},
	{breaks: "Page/upto_before", how: "says Before for Upto", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			if !q.Before.IsZero() {
				p.Upto = q.Before
			}
		})
	}},
	{breaks: "Page/upto_before", how: "says the head for Upto", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) { p.Upto = b.at() })
	}},
	{breaks: "Page/upto_not_before_after", how: "says an Upto before After", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			if !q.Before.IsZero() {
				p.Upto = push.ID{Epoch: q.Before.Epoch, Seq: q.Before.Seq - 1}
			}
		})
	}},
}

// gaps changes the gaps of History.
func (b *broken) gaps(change func(push.Query, *push.Page, *push.Gap)) {
	b.answers(func(q push.Query, p *push.Page) {
		if p.Gap != nil {
			change(q, p, p.Gap)
		}
	})
}

var gapMutants = []mutant{
	{breaks: "Gap/span", how: "says the zero ID for From", broker: func(b *broken) {
		b.gaps(func(_ push.Query, _ *push.Page, g *push.Gap) { g.From = push.ID{} })
	}},
	{breaks: "Gap/span", how: "says a To below what was removed", broker: func(b *broken) {
		b.gaps(func(_ push.Query, _ *push.Page, g *push.Gap) { g.To.Seq-- })
	}},
	{breaks: "Gap/span", how: "says another reason", broker: func(b *broken) {
		b.gaps(func(_ push.Query, _ *push.Page, g *push.Gap) { g.Reason = push.ReasonLagged })
	}},
	{breaks: "Gap/survivors", how: "drops what survives in a gap", broker: func(b *broken) {
		b.gaps(func(_ push.Query, p *push.Page, g *push.Gap) {
			p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool { return covers(*g, e) })
		})
	}},
	{breaks: "Gap/again_on_the_next_page", how: "tells a gap on the first page only", broker: func(b *broken) {
		told := map[push.ID]bool{}
		b.gaps(func(q push.Query, p *push.Page, g *push.Gap) {
			if told[g.To] {
				p.Gap = nil
			}
			told[g.To] = !q.After.IsZero()
		})
	}},
	{breaks: "Gap/never_silent", how: "loses at a trim", broker: withoutGaps},
	{breaks: "Gap/never_silent", how: "has no gap for patterns", broker: func(b *broken) {
		b.gaps(func(q push.Query, p *push.Page, _ *push.Gap) {
			if push.IsPattern(q.Topics[0]) {
				p.Gap = nil
			}
		})
	}},
	{breaks: "Gap/of_latest", how: "has no gap with Latest and After", broker: func(b *broken) {
		b.gaps(func(q push.Query, p *push.Page, _ *push.Gap) {
			if q.Latest {
				p.Gap = nil
			}
		})
	}},
	{breaks: "Gap/of_latest", how: "has a gap for what lies before the newest", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			whole, _ := b.Broker.History(context.Background(), push.Query{Topics: q.Topics, After: q.After})
			p.Gap = whole.Gap
		})
	}},
	{breaks: "Gap/exact", how: "makes a gap of another topic's removal", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			whole, _ := b.Broker.History(context.Background(), push.Query{Topics: []string{"**"}, After: q.After})
			p.Gap = whole.Gap
		})
	}},
	{breaks: "Gap/exact", how: "has a gap for everyone who comes back", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			if head := b.at(); !q.After.IsZero() && q.After.Seq < head.Seq && p.Gap == nil {
				p.Gap = &push.Gap{From: q.After, To: head, Reason: push.ReasonTrimmed}
			}
		})
	}},
	{breaks: "Gap/judged_after_the_page", how: "judges the gap before it reads the page", broker: func(b *broken) {
		next := b.history
		b.history = func(ctx context.Context, q push.Query) (push.Page, error) {
			early, _ := next(ctx, q)
			time.Sleep(time.Millisecond) // of the bubble: the publisher works meanwhile
			p, err := next(ctx, q)
			p.Gap = early.Gap
			return p, err
		}
	}},
	{breaks: "Gap/epoch", how: "goes on at the sequence of another epoch", broker: func(b *broken) {
		b.gaps(func(q push.Query, p *push.Page, g *push.Gap) {
			if g.Reason == push.ReasonEpoch {
				p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool { return e.ID.Seq <= q.After.Seq })
			}
		})
	}},
	{breaks: "Gap/epoch", how: "has no gap for another epoch", broker: withoutGaps},
	{breaks: "Gap/epoch_and_trimmed", how: "says the beginning for To", broker: func(b *broken) {
		b.gaps(func(_ push.Query, _ *push.Page, g *push.Gap) {
			if g.Reason == push.ReasonEpoch {
				g.To = push.ID{Epoch: g.To.Epoch}
			}
		})
	}},
}
