package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Inbound is an event that a client wants to publish.
type Inbound struct {
	Event   *Event // handlers may change all but Topic
	Subject string // who publishes; "" is an anonymous client
	ConnID  string // the connection it came on, if any, and if this node has it
}

// InboundFunc validates, changes or refuses what a client publishes. Its error
// refuses the event; use Refuse for one whose text the client may see. It must
// be safe for concurrent use.
type InboundFunc func(ctx context.Context, in *Inbound) error

// RefusedError says to a client why its event was not published.
type RefusedError struct {
	Reason string // for the client
	Err    error  // what the handler returned, if not a RefusedError; not for the client
}

// Refuse returns an error with which an inbound handler refuses an event.
func Refuse(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

func (e *RefusedError) Error() string { return "push: refused: " + e.Reason }

// Unwrap returns the handler's own error.
func (e *RefusedError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrRefused) true.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

func refused(err error) error {
	if _, ok := errors.AsType[*RefusedError](err); ok {
		return err
	}
	return &RefusedError{Reason: "the server refused the event", Err: err}
}

type inboundRule struct {
	pattern string
	f       InboundFunc
}

// Handle has f look at everything that clients publish to topics that match
// pattern, before it reaches the log. All handlers that match run, in the
// order in which they were added. What the application itself publishes with
// Publish is not looked at. It panics if pattern is none.
func (h *Hub) Handle(pattern string, f InboundFunc) {
	if err := CheckPattern(pattern); err != nil {
		panic(err)
	}
	if f == nil {
		panic("push: Handle needs a function")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inbound = append(slices.Clip(h.inbound), inboundRule{pattern, f})
}

// Receive publishes what a client sent, after all inbound handlers have seen
// it. Transports call it; authorization is theirs.
func (h *Hub) Receive(ctx context.Context, in *Inbound) (ID, error) {
	ids, errs := h.ReceiveAll(ctx, in)
	return ids[0], errs[0]
}

// ReceiveAll is Receive for many events: those that are not refused are
// published at once, in their order. Of each it returns the ID or the error.
func (h *Hub) ReceiveAll(ctx context.Context, ins ...*Inbound) ([]ID, []error) {
	ids, errs := make([]ID, len(ins)), make([]error, len(ins))
	var events []Event
	var index []int // of events in ins
	for i, in := range ins {
		if errs[i] = h.admit(ctx, in); errs[i] == nil {
			events, index = append(events, *in.Event), append(index, i)
		}
	}
	if len(events) == 0 {
		return ids, errs
	}
	got, err := h.append(ctx, events)
	for n, i := range index {
		if n < len(got) && !got[n].IsZero() {
			ids[i] = got[n]
		} else {
			errs[i] = err
		}
	}
	return ids, errs
}

// admit has the inbound handlers look at an event, and checks what they made of
// it.
func (h *Hub) admit(ctx context.Context, in *Inbound) error {
	if err := in.Event.Check(); err != nil {
		return err
	}
	h.mu.Lock()
	rules := h.inbound
	h.mu.Unlock()
	topic := in.Event.Topic
	for _, r := range rules {
		if !Match(r.pattern, topic) {
			continue
		}
		if err := r.f(ctx, in); err != nil {
			return refused(err)
		}
	}
	if in.Event.Topic != topic {
		return fmt.Errorf("push: the inbound handler moved an event from %q to %q: a handler must leave the topic", topic, in.Event.Topic)
	}
	return in.Event.Check()
}
