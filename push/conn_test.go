package push_test

import (
	"context"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
)

// conn is a client with its present connection, which is read step by step. It
// must be used in a bubble, by one goroutine.
type conn struct {
	*client
	hub      *push.Hub
	sub      *push.Subscription
	eager    bool // reads without being asked
	next     <-chan nextResult
	stop     context.CancelFunc
	inflight *push.Batch // returned by Next, not yet received
	ended    error       // what Next said last
}

// open connects. A client without a position gets the subscription's.
func (c *conn) open(from push.Start, opts ...push.SubscribeOption) error {
	sub, err := c.hub.Subscribe(context.Background(), c.topics, from, opts...)
	if err != nil {
		return err
	}
	c.sub, c.ended = sub, nil
	if c.pos.IsZero() {
		c.pos, c.sound = sub.Position(), true
		c.fresh = from == push.FromOldest()
		c.since = max(c.since, c.pos.Seq)
	}
	if c.eager {
		return c.read()
	}
	return nil
}

// read asks for a batch. Whoever asks for the next one has the one before.
func (c *conn) read() error {
	if c.sub == nil || c.next != nil {
		return nil
	}
	if err := c.land(1 << 30); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.next, c.stop = startNext(ctx, c.sub), cancel
	return nil
}

// take looks whether the batch that was asked for is there.
func (c *conn) take() error {
	for c.next != nil {
		select {
		case got := <-c.next:
			c.stop()
			c.next = nil
			if got.err != nil {
				c.ended = got.err
				return nil //nolint:nilerr // the client has ended, the test has not failed
			}
			c.inflight = &got.batch
		default:
			return nil
		}
		if !c.eager {
			return nil
		}
		if err := c.read(); err != nil {
			return err
		}
		synctest.Wait()
	}
	return nil
}

// land receives the first n events of the batch in flight.
func (c *conn) land(n int) error {
	b := c.inflight
	if b == nil {
		return nil
	}
	c.inflight = nil
	return c.receive(*b, min(n, len(b.Messages)))
}

// cut breaks the connection when n events of the batch in flight arrived; if n
// is negative, not even what comes before them.
func (c *conn) cut(n int) error {
	if c.sub == nil {
		return nil
	}
	if c.next != nil {
		c.stop()
		<-c.next // it may have had something: nobody got it
		c.next = nil
	}
	c.sub.Close()
	c.sub = nil
	if n < 0 {
		c.inflight = nil
	}
	return c.land(n)
}

// readAll reads until there is nothing more now.
func (c *conn) readAll() error {
	for {
		if err := c.read(); err != nil {
			return err
		}
		synctest.Wait()
		if err := c.take(); err != nil {
			return err
		}
		if c.next != nil || c.ended != nil {
			return nil //nolint:nilerr // there is nothing more to take for now
		}
	}
}
