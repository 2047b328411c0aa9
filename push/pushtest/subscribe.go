package pushtest

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/push"
)

var subscriptionChecks = []check{
	{name: "Subscription/random", run: subscriptionRandom, says: sayPage + "\n" + sayGap},
	{name: "Subscription/lagged", run: subscriptionLagged,
		says: "removed while the reader was connected but too slow"},
	{name: "Subscription/validates", run: subscriptionValidates,
		says: "A broker need not validate events: the Hub does."},
	{name: "Subscription/lose", run: subscriptionLose,
		says: "the cursor is not of this log"},
	{name: "Subscription/restart", run: subscriptionRestart, alone: true, says: sayTail},
}

// audience is a random history of subscriptions on two hubs over one log: one
// as it comes, and one with a tiny window.
type audience struct {
	*script
	hubs    []push.Broker
	clients []*client
}

// client is a reader that keeps its position over all its connections.
type client struct {
	*audience
	passage
	sub *push.Subscription
}

// topic that all clients have, so that one can make them move.
const beacon = "beacon"

func (t *env) audience() *audience {
	a := &audience{script: t.script()}
	for _, h := range []*push.Hub{push.NewHub(a.engine.Broker, hubOptions...), tinyWindow(a.engine.Broker)} {
		b := overHub(t, h)
		a.hubs = append(a.hubs, b)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), guard)
			defer cancel()
			if err := b.Close(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
	return a
}

func subscriptionRandom(t *env) {
	t.randomly(func(t *env, r *rapid.T) {
		a := t.audience()
		actions := map[string]func(*rapid.T){
			"publish": func(r *rapid.T) { a.publishTo(a.hub(r), r) },
			"join":    a.join,
			"read":    func(r *rapid.T) { a.one(r, (*client).read) },
			"drain":   func(r *rapid.T) { a.one(r, (*client).drain) },
			"again":   func(r *rapid.T) { a.one(r, func(c *client) { c.reconnect(a.hub(r)) }) },
		}
		if a.engine.Purge != nil {
			actions["purge"] = a.purgeSome
		}
		r.Repeat(actions)
		for _, c := range a.clients {
			c.drain()
		}
	})
}

func (a *audience) hub(r *rapid.T) push.Broker { return rapid.SampledFrom(a.hubs).Draw(r, "hub") }

// one has one of the clients do something.
func (a *audience) one(r *rapid.T, do func(*client)) {
	if len(a.clients) == 0 {
		r.Skip("nobody is there")
	}
	do(rapid.SampledFrom(a.clients).Draw(r, "client"))
}

// join adds a client that starts somewhere.
func (a *audience) join(r *rapid.T) {
	c := &client{audience: a}
	c.topics = append(randomTopics.Draw(r, "topics"), beacon)
	n := rapid.IntRange(0, 3).Draw(r, "last")
	newest := a.page(push.Query{Topics: c.topics, Latest: true, Limit: max(n, 1)})
	switch from := rapid.SampledFrom([]string{"head", "oldest", "last", "after"}).Draw(r, "from"); from {
	case "head":
		c.connect(a.hub(r), push.FromHead())
		c.after = c.sub.Position()
	case "oldest":
		c.connect(a.hub(r), push.FromOldest())
		c.owed = 1<<64 - 1
	case "last":
		c.connect(a.hub(r), push.Last(n))
		if c.after = c.sub.Position(); n > 0 && len(newest.Events) > 0 && c.after.Seq >= newest.Events[0].ID.Seq {
			a.Fatalf("Last(%d) of %q starts after #%d; the newest are %s", n, c.topics, c.after.Seq, show(newest.Events))
		}
	case "after":
		c.after = a.position(r)
		if c.after.IsZero() {
			c.after = push.ID{Epoch: a.head().Epoch}
		}
		c.connect(a.hub(r), push.After(c.after))
	}
	c.upto = c.after
	a.clients = append(a.clients, c)
}

func (c *client) connect(b push.Broker, from push.Start) {
	sub, err := b.(hubBroker).Subscribe(c.Context(), c.topics, from)
	if err != nil {
		c.Fatalf("Subscribe to %q: %v", c.topics, err)
	}
	c.Cleanup(sub.Close)
	c.sub = sub
}

// reconnect goes on at another hub where the client is.
func (c *client) reconnect(b push.Broker) {
	if c.upto.IsZero() {
		return // it has seen nothing and has no cursor yet
	}
	c.sub.Close()
	c.connect(b, push.AfterCursor(c.upto.String()))
}

// move publishes an event for all.
func (a *audience) move() push.Event {
	e := a.publish(ev(beacon, strconv.Itoa(len(a.events))))[0]
	a.published(e)
	return e
}

// read takes one batch.
func (c *client) read() {
	c.move()
	c.take()
}

// drain reads to the head, where nothing must be missing.
func (c *client) drain() {
	for last := c.move(); c.upto.Seq < last.ID.Seq; {
		c.take()
	}
	c.survivors(c, "Subscription", c.passage, c.all("**"))
}

// take holds the next batch against the model.
func (c *client) take() {
	b := c.batch()
	if b.Upto.Epoch != c.head().Epoch || b.Upto.Seq < c.upto.Seq {
		c.Fatalf("the position moved from %+v to %+v", c.upto, b.Upto)
	}
	c.upto = b.Upto
	c.events = append(c.events, c.lasting(eventsOf(b))...)
	if c.owed == 1<<64-1 && len(c.events) > 0 {
		c.owed = c.events[0].ID.Seq
	}
	if b.Gap != nil {
		c.gaps = append(c.gaps, *b.Gap)
		c.exactGaps(c, "Subscription", passage{topics: c.topics, after: c.after, gaps: []push.Gap{*b.Gap}}, c.all("**"))
	}
	c.ordered(c, "Subscription", c.passage)
	c.noSilentHole(c, "Subscription", c.passage)
}

// batch waits for the next batch.
func (c *client) batch() push.Batch {
	ctx, cancel := context.WithTimeout(c.Context(), guard)
	defer cancel()
	b, err := c.sub.Next(ctx)
	if err != nil {
		c.Fatalf("Next after %+v: %v", c.upto, err)
	}
	return b
}

// audienceOf returns an audience with a client of all topics on each hub, at
// the head.
func (t *env) audienceOf() *audience {
	a := t.audience()
	for _, h := range a.hubs {
		c := &client{audience: a, passage: passage{topics: []string{"**"}}}
		c.connect(h, push.FromHead())
		c.after = c.sub.Position()
		c.upto = c.after
		a.clients = append(a.clients, c)
	}
	return a
}

// subscriptionLagged: a reader that does not read is told what it missed, and
// goes on. Nobody waits for it.
func subscriptionLagged(t *env) {
	a := t.audienceOf()
	for _, c := range a.clients {
		c.drain()
	}
	published, _ := a.overflow("a")
	a.events = append(a.events, published...)
	for _, c := range a.clients {
		c.drain()
		for _, g := range c.gaps {
			if g.Reason != push.ReasonLagged {
				t.Errorf("a reader that was connected has the gap %+v", g)
			}
		}
		if len(c.gaps) == 0 && len(c.events) < len(published) {
			t.Errorf("of %d events the reader got %d, and no gap", len(published), len(c.events))
		}
	}
}

func subscriptionValidates(t *env) {
	a := t.audience()
	before := a.head()
	for _, h := range a.hubs {
		for _, bad := range []push.Event{ev("", ""), ev("a//b", ""), {Topic: "a", Name: "push.x"}, {Topic: "a", Name: "a\nb"},
			{Topic: "a", ContentType: "application/json", Data: []byte("{")}} {
			if _, err := h.Publish(t.Context(), ev("a", "good"), bad); !errors.Is(err, push.ErrInvalid) {
				t.Errorf("the hub published %+v: error %v", bad, err)
			}
		}
	}
	if after := a.head(); after != before {
		t.Errorf("the head moved from %+v to %+v", before, after)
	}
}

// subscriptionLose: a reader is told that the log was lost, and goes on.
func subscriptionLose(t *env) {
	a := t.audienceOf()
	a.move()
	for _, c := range a.clients {
		c.drain()
	}
	a.lose()
	last := a.resume("a")
	for _, c := range a.clients {
		var gaps []push.Gap
		for got := false; !got; {
			b := c.batch()
			if b.Gap != nil {
				gaps = append(gaps, *b.Gap)
			}
			got = slices.ContainsFunc(eventsOf(b), func(e push.Event) bool { return e.ID == last.ID })
		}
		if len(gaps) == 0 || gaps[0].Reason != push.ReasonEpoch {
			t.Errorf("the log was lost; the reader's gaps are %+v", gaps)
		}
	}
}

// subscriptionRestart: a reader does not notice that the engine restarts.
func subscriptionRestart(t *env) {
	a := t.audienceOf()
	a.move()
	a.restart()
	a.published(a.resume("a"))
	for _, c := range a.clients {
		c.drain()
	}
}
