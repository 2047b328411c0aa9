package rest

import (
	"context"
	"errors"

	"github.com/dualpush-go/dualpush/push"
)

// mayPublish checks a topic that who wants to publish to.
func (h *Handler) mayPublish(ctx context.Context, who *Principal, topic string) *Problem {
	if p := checkTopic(topic); p != nil {
		return p
	}
	return h.may(ctx, who, push.ActionPub, topic)
}

// submission is an event that a client wants to publish, and what became of it.
type submission struct {
	event push.Event
	key   string // idempotency key; "" is none
	claim *claim
	id    push.ID
	err   error // for AsProblem
}

// submit publishes what has no error yet, in its order, unless its key was used
// before. scope is whose keys they are.
func (h *Handler) submit(ctx context.Context, who *Principal, cid, scope string, subs ...*submission) {
	var todo []*submission
	var ins []*push.Inbound
	defer func() { // also if an inbound handler panics
		for _, s := range subs {
			s.claim.settle(ctx, s.id)
		}
	}()
	for _, s := range subs {
		if s.err == nil {
			s.claim, s.id, s.err = h.claim(ctx, keyScope(who, scope, s.key), s.key, &s.event)
		}
		if s.err == nil && s.id.IsZero() {
			todo = append(todo, s)
			ins = append(ins, &push.Inbound{Event: &s.event, Subject: who.Subject, ConnID: cid})
		}
	}
	topics := make([]string, len(ins))
	for i, in := range ins {
		topics[i] = in.Event.Topic
	}
	ids, errs := h.hub.ReceiveAll(ctx, ins...)
	for i, s := range todo {
		s.id, s.err = ids[i], errs[i]
		if s.err != nil && s.event.Topic == topics[i] { // else it is the inbound handler that failed
			s.err = hubError(s.err)
		}
	}
}

// errNoAnswer is for what submit left without ID and error, which no broker
// does.
var errNoAnswer = errors.New("rest: the broker returned neither an ID nor an error")

// result is what became of it.
func (s *submission) result() (push.ID, error) {
	if s.err == nil && s.id.IsZero() {
		return push.ID{}, errNoAnswer
	}
	return s.id, s.err
}
