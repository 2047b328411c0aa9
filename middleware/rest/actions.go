package rest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/ws"
)

// SubscribeResult is the answer to everything that is about subscriptions: the
// topics that are subscribed now, and the position from which on the events of
// added ones are delivered.
type SubscribeResult struct {
	Topics   []string  `json:"topics"`
	Position push.ID   `json:"position"`
	Items    []rawJSON `json:"items,omitempty"` // the newest events, if they were asked for
}

// rawJSON is an envelope.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (b rawJSON) MarshalJSON() ([]byte, error) { return b, nil }

// do carries out an action on behalf of who: a frame of the connection, or its
// REST twin.
func (c *conn) do(ctx context.Context, who *Principal, a *ws.Action) (any, error) {
	if c.fixed && a.Kind != ws.Publish {
		return nil, problemf(http.StatusForbidden, "this stream is bound to its topic")
	}
	switch a.Kind {
	case ws.Subscribe:
		return c.subscribe(ctx, who, a)
	case ws.Unsubscribe:
		at, p := c.update(ctx, who, nil, a.Topics, "")
		if p != nil {
			return nil, p
		}
		return SubscribeResult{Topics: c.sub.Topics(), Position: at}, nil
	case ws.Publish:
		return c.publish(ctx, who, a)
	}
	return c.takeToken(ctx, a.Token)
}

func (c *conn) subscribe(ctx context.Context, who *Principal, a *ws.Action) (any, error) {
	at, p := c.update(ctx, who, a.Topics, nil, "")
	if p != nil {
		return nil, p
	}
	res := SubscribeResult{Topics: c.sub.Topics(), Position: at}
	if a.Last <= 0 {
		return res, nil
	}
	// Up to the position: what comes after it comes on the stream.
	page, err := c.h.hub.History(ctx, push.Query{
		Topics: a.Topics, Before: push.ID{Epoch: at.Epoch, Seq: at.Seq + 1}, Limit: min(a.Last, poll.MaxLimit), Latest: true,
	})
	if err != nil {
		return nil, hubError(err)
	}
	for i := range page.Events {
		res.Items = append(res.Items, wire.AppendEvent(nil, &page.Events[i]))
	}
	return res, nil
}

func (c *conn) publish(ctx context.Context, who *Principal, a *ws.Action) (any, error) {
	e := a.Event
	if e.Topic == "" {
		e.Topic = c.single
	}
	if e.Topic == "" {
		return nil, problemf(http.StatusBadRequest, "name the topic to publish to: this stream has more than one")
	}
	if c.fixed && e.Topic != c.single {
		return nil, problemf(http.StatusForbidden, "this stream is bound to its topic")
	}
	if p := c.h.mayPublish(ctx, who, e.Topic); p != nil {
		return nil, p
	}
	s := submission{event: e, key: e.Idem}
	s.event.Idem = ""
	c.h.submit(ctx, who, c.sub.ID(), c.idemScope(who), &s)
	id, err := s.result()
	if err != nil {
		return nil, err
	}
	return PublishResult{id}, nil
}

func (c *conn) idemScope(who *Principal) string {
	if who.Subject != "" {
		return "subject " + who.key()
	}
	return "connection " + c.sub.ID()
}

// frames are the actions that come as frames on the connection itself.
type frames struct{ *conn }

// limited carries out an action unless there were too many.
func (f frames) limited(ctx context.Context, a *ws.Action) (any, error) {
	if p := f.h.limits.message(f.caller, 1); p != nil {
		return nil, p
	}
	return f.do(ctx, f.principal(), a)
}

var errReadOnly = &push.CloseError{Code: push.ClosePolicy, Reason: "this stream is read-only"}

// Do implements ws.Actions.
func (f frames) Do(ctx context.Context, a *ws.Action) (any, error) {
	if f.fixed && a.Plain && !f.principal().Allows(push.ActionPub, f.single) {
		f.logEnded(errReadOnly.Reason)
		return nil, errReadOnly
	}
	if f.principal().expired(time.Now()) { // its timer is about to say so
		return nil, errExpired
	}
	res, err := f.limited(ctx, a)
	if err == nil {
		return res, nil
	}
	if end, ok := errors.AsType[*push.CloseError](err); ok {
		return nil, end
	}
	p := AsProblem(err)
	f.h.logRefused(ctx, p, f.asker())
	f.h.logProblem(ctx, p, string(a.Kind))
	return nil, &ws.Problem{Title: p.Title, Status: p.Status, Detail: p.Detail}
}
