package poll

import (
	"context"
	"errors"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// MaxWait bounds a long poll: proxies cut silent requests after 60 s.
const MaxWait = 50 * time.Second

// Wait is ReadPage, but where nothing is after the cursor it waits for it, at
// most d; then the page is empty and Last is the reader's position. It returns
// a *push.CloseError when the hub shuts down.
//
// A subscription to the topics, which the caller opened at q.After and closes,
// does the waiting: so the wait is seen, limited and ended like any stream.
func Wait(ctx context.Context, sub *push.Subscription, q Query, d time.Duration) (*Page, error) {
	limit := min(max(q.Limit, 0), MaxLimit)
	if limit == 0 {
		limit = DefaultLimit
	}
	page := &Page{First: sub.Position(), Last: sub.Position(), topics: q.Topics}
	timed, cancel := context.WithTimeout(ctx, min(d, MaxWait))
	defer cancel()
	for {
		b, err := sub.Next(timed)
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				page.First, page.Last = sub.Position(), sub.Position()
				return page, nil
			}
			return nil, err
		}
		if b.Gap == nil && len(b.Messages) == 0 {
			continue // control events and heartbeats are for streams
		}
		page.Gap = b.Gap
		page.First, page.Last = b.Upto, b.Upto
		if page.More = len(b.Messages) > limit; page.More {
			b.Messages = b.Messages[:limit]
		}
		page.Items = append(page.Items, b.Messages...) // the batch is the subscription's
		if n := len(page.Items); n > 0 {
			page.First, page.Last = page.Items[0].ID, page.Items[n-1].ID
		}
		return page, nil
	}
}
