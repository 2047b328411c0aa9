package push

import (
	"context"
	"math/rand/v2"
	"time"
)

// Shutdown ends the hub without a herd: new subscriptions are refused, the
// streams end one after the other over the drain window (or four fifths of the
// time that ctx leaves, if that is shorter), each told with CloseDrain and a
// time to come back that is spread over the window again. Publishing works
// until the last stream is closed or ctx ends; then the broker is closed. It
// returns ctx's error if streams were left, else the broker's.
func (h *Hub) Shutdown(ctx context.Context) error {
	window := h.drainWindow
	if end, ok := ctx.Deadline(); ok {
		window = min(window, time.Until(end)*4/5)
	}
	h.mu.Lock()
	if h.drain == nil {
		h.drain = &CloseError{Code: CloseDrain, Reason: "the server is restarting", Retry: time.Second}
		h.emptied = make(chan struct{})
		h.leftLocked()
	}
	n, emptied := len(h.subs), h.emptied
	h.mu.Unlock()
	start, i := time.Now(), 0
	h.each(func(s *Subscription) {
		pause(ctx, emptied, time.Until(start.Add(window*time.Duration(i)/time.Duration(max(n, 1)))))
		s.Disconnect(drainError(window))
		i++
	})
	var err error
	select {
	case <-emptied:
	case <-ctx.Done():
		if h.Subscriptions() > 0 {
			err = ctx.Err()
		}
	}
	if h.follower != nil {
		h.follower.stop()
	}
	if e := h.broker.Close(context.WithoutCancel(ctx)); err == nil {
		err = e
	}
	h.log.shut(ErrClosed)
	return err
}

func drainError(window time.Duration) *CloseError {
	retry := time.Second + rand.N(max(window, time.Second))
	return &CloseError{Code: CloseDrain, Reason: "the server is restarting", Retry: retry.Round(time.Millisecond)}
}

// leftLocked notices that the last subscription is gone. The caller holds mu.
func (h *Hub) leftLocked() {
	if h.drain != nil && len(h.subs) == 0 {
		select {
		case <-h.emptied:
		default:
			close(h.emptied)
		}
	}
}

// pause waits for d, for ctx, or until enough is closed.
func pause(ctx context.Context, enough <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-enough:
	case <-ctx.Done():
	}
}
