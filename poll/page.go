package poll

import (
	"context"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// Limits of a page, in events.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Query is what a client asks for.
type Query struct {
	Topics []string
	After  string // a cursor; "0" is the oldest event; "": the newest page
	Before string // a cursor
	Limit  int    // 1 to MaxLimit; 0: DefaultLimit
}

// Page is a page as it goes to the client.
type Page struct {
	Items []*push.Message
	First push.ID
	Last  push.ID
	Gap   *push.Gap
	More  bool // there is more after Last

	// Fixed reports whether the page is full between two cursors: the same
	// request gets the same page for as long as its events are retained.
	Fixed bool

	after  push.ID
	topics []string
}

// ReadPage reads a page of history.
func ReadPage(ctx context.Context, hub *push.Hub, q Query) (*Page, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	ask := push.Query{Topics: q.Topics, Limit: min(limit, MaxLimit), Latest: q.After == ""}
	if q.After != "" {
		ask.After = position(q.After)
	}
	if q.Before != "" {
		if ask.Before = position(q.Before); ask.Before.IsZero() { // "0": nothing is before the oldest
			ask.Before = unknown
		}
	}
	p, err := hub.History(ctx, ask)
	if err != nil {
		return nil, err
	}
	page := &Page{First: p.Upto, Last: p.Upto, Gap: p.Gap, after: ask.After, topics: q.Topics}
	for i := range p.Events {
		page.Items = append(page.Items, push.NewMessage(p.Events[i]))
	}
	if n := len(page.Items); n > 0 {
		page.First, page.Last = page.Items[0].ID, page.Items[n-1].ID
	}
	if len(page.Items) > 0 && page.Last == p.Upto && !ask.Latest {
		page.More, err = cut(ctx, hub, p.Upto, ask.Before)
	}
	if page.Gap == nil {
		page.Fixed = page.More && !ask.After.IsZero() || ask.Latest && !ask.Before.IsZero() && len(page.Items) == ask.Limit
	}
	return page, err
}

// cut reports whether a page that goes up to its last event ends there for its
// size, in events or bytes, rather than at the end of what was asked.
func cut(ctx context.Context, hub *push.Hub, upto, before push.ID) (bool, error) {
	if !before.IsZero() {
		return upto.Seq+1 < before.Seq, nil
	}
	head, err := hub.Head(ctx)
	return upto.Seq < head.Seq, err
}

// unknown is a position of no log at all.
var unknown = push.ID{Epoch: ^uint64(0)}

// position reads a cursor; one that cannot be parsed is of another epoch.
func position(cursor string) push.ID {
	if cursor == "0" {
		return push.ID{}
	}
	id, err := push.ParseID(cursor)
	if err != nil || id.IsZero() {
		return unknown
	}
	return id
}

// AppendJSON appends the page's JSON.
func (p *Page) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"items":[`...)
	for i, m := range p.Items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.Encoded(wire.JSON)...)
	}
	dst = append(dst, `],"gap":`...)
	if p.Gap == nil {
		dst = append(dst, "null"...)
	} else {
		dst = wire.AppendData(dst, wire.NewGapData(p.Gap, p.topics))
	}
	dst = append(dst, `,"first":"`...)
	dst = p.First.Append(dst)
	dst = append(dst, `","last":"`...)
	dst = p.Last.Append(dst)
	return append(dst, `"}`...)
}
