package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dualpush-go/dualpush/push"
)

// watch ends what is under way whenever the connection is lost: no answer would
// come any more, and nobody should wait for it.
func (b *Broker) watch() {
	var lost context.CancelCauseFunc
	renew := func() {
		b.mu.Lock()
		b.link, lost = context.WithCancelCause(context.Background())
		b.mu.Unlock()
	}
	renew()
	status := b.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		defer func() { lost(push.ErrClosed) }()
		defer b.nc.RemoveStatusListener(status)
		for {
			select {
			case s := <-status:
				lost(fmt.Errorf("%w: the connection was lost, it is %v", ErrDisconnected, s))
				renew()
			case <-b.life.Done():
				return
			}
		}
	}()
}

var errNoAnswer = errors.New("no answer from NATS")

// begin returns a context for one operation: it ends after Timeout, with the
// connection, and with Close.
func (b *Broker) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if b.closed() {
		return nil, nil, push.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	link := b.link
	b.mu.Unlock()
	if err := b.connected(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := until(ctx, link)
	ctx, stop := context.WithTimeoutCause(ctx, b.cfg.Timeout, fmt.Errorf("%w in %v", errNoAnswer, b.cfg.Timeout))
	return ctx, func() { stop(); cancel() }, nil
}

// connected returns why the connection is not up, or nil: wrong credentials are
// told here.
func (b *Broker) connected() error {
	s, last := b.nc.Status(), b.nc.LastError()
	switch {
	case s == nats.CONNECTED:
		return nil
	case s == nats.CLOSED:
		return fmt.Errorf("%w: the connection was closed for good: connect with nats.MaxReconnects(-1), and close it after the hub", ErrDisconnected)
	case last != nil:
		return fmt.Errorf("%w: it is %v: %w", ErrDisconnected, s, last)
	}
	return fmt.Errorf("%w: it is %v", ErrDisconnected, s)
}

// until returns a context that ends with another as well.
func until(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}

// again asks again when no answer comes: what a cluster is asked while it has no
// leader is lost, and nobody should wait for that once it has one.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for {
		try, cancel := context.WithTimeout(ctx, askAgain)
		answer, err := ask(try)
		late := err != nil && try.Err() != nil && ctx.Err() == nil
		cancel()
		if !late {
			return answer, err
		}
	}
}

const askAgain = time.Second
