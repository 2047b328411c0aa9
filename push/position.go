package push

import (
	"context"
	"slices"
	"time"
)

// start attaches a new subscription to its topics and finds its position.
func (s *Subscription) start(ctx context.Context, topics []string, from Start) error {
	var last ID
	if from.kind == startLast && s.hub.memory == nil {
		var err error
		if last, err = s.nthNewest(ctx, topics, from.n); err != nil {
			return err
		}
	}
	r, l := &s.reader, s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	if l.head.Epoch == 0 { // the window has not found its broker's head yet
		return ErrNotReady
	}
	r.born, r.pos = l.head.Seq, l.head
	switch from.kind {
	case startAfter:
		r.pos = from.id
		s.verify = !s.knownPosition(from.id)
	case startOldest:
		r.pos, s.fresh = ID{Epoch: l.head.Epoch}, true
	case startLast:
		if s.hub.memory != nil && from.n > 0 {
			last = ID{Epoch: l.head.Epoch, Seq: l.nthNewest(topics, from.n)}
		}
		if last.Seq > 0 {
			r.pos = ID{Epoch: last.Epoch, Seq: last.Seq - 1}
		}
	}
	s.attach(topics)
	s.lastSaid = l.now()
	if s.heartbeat > 0 {
		s.beat = time.AfterFunc(s.heartbeat, s.onBeat)
	}
	return nil
}

// attach has the reader follow topics from its position on.
func (s *Subscription) attach(topics []string) {
	r, l := &s.reader, s.reader.log
	after := r.pos.Seq
	if s.verify || r.pos.Epoch != l.head.Epoch {
		after = 0 // the broker will say where it goes on
	}
	r.atts = slices.Grow(r.atts, len(topics))
	for _, t := range topics {
		r.atts = append(r.atts, l.attach(r, t, s.hub.policy(t), after))
	}
}

// nthNewest asks the broker for what log.nthNewest finds. A page may hold fewer
// events than it was asked for.
func (s *Subscription) nthNewest(ctx context.Context, topics []string, n int) (first ID, err error) {
	for n > 0 {
		p, err := s.hub.broker.History(ctx, Query{Topics: topics, Before: first, Limit: n, Latest: true})
		if err != nil || len(p.Events) == 0 {
			return first, err
		}
		first = p.Events[0].ID
		n -= len(p.Events)
	}
	return first, nil
}

// knownPosition reports whether the log can vouch for a position itself. A
// window leaves the rest to its broker.
func (s *Subscription) knownPosition(id ID) bool {
	l := s.reader.log
	if id.Epoch == 0 || id.Epoch != l.head.Epoch || id.Seq > l.head.Seq {
		return false
	}
	if s.hub.memory != nil {
		return l.knows(id)
	}
	if id == l.head || id.Check == 0 {
		return true
	}
	ms := l.all.ring.after(id.Seq - 1)
	return len(ms) > 0 && ms[0].ID == id
}

// Update adds and removes topics and patterns at the subscription's position,
// which it returns: of an added topic only events after it are delivered. It
// is atomic: on error nothing changed. Next returns a push.subscriptions
// control event with the topics and the reason.
func (s *Subscription) Update(add, remove []string, reason string) (ID, error) {
	add, err := cleanTopics(add)
	if err != nil {
		return ID{}, err
	}
	r, l := &s.reader, s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.closed {
		return ID{}, ErrClosed
	}
	if n := r.sizeAfter(add, remove); n > MaxSubscriptionTopics {
		return ID{}, tooManyTopics(n)
	}
	r.unpark(l.head)
	for _, t := range remove {
		if i := r.find(t); i >= 0 {
			l.detach(r.atts[i])
			r.atts = slices.Delete(r.atts, i, i+1)
		}
	}
	if add = slices.DeleteFunc(add, func(t string) bool { return r.find(t) >= 0 }); len(add) > 0 {
		s.attach(add)
		s.startHere(r.atts[len(r.atts)-len(add):])
		r.told = 0
	}
	s.notifyLocked(Control{Name: "push.subscriptions", Data: SubscriptionsData{s.topicsLocked(), reason}})
	r.wake()
	return r.pos, nil
}

// startHere marks attachments as added at the position, also should it move
// back (a stream's does when its connection is full). A position that the log
// does not know yet marks nothing.
func (s *Subscription) startHere(atts []*attachment) {
	r := &s.reader
	if s.verify || r.pos.Epoch != r.log.head.Epoch {
		return
	}
	for _, a := range atts {
		a.since = r.pos.Seq
	}
}

// SubscriptionsData is the data of a push.subscriptions control event.
type SubscriptionsData struct {
	Topics []string `json:"topics"`
	Reason string   `json:"reason,omitempty"`
}

// onBeat looks after the silence. Its timer runs through: it is not set again
// for each batch.
func (s *Subscription) onBeat() {
	l := s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.closed || s.beat == nil { // stopped when it was about to run
		return
	}
	silence := l.now() - s.lastSaid
	if silence >= s.heartbeat {
		s.beatDue = true
		s.reader.wake()
		silence = 0
	}
	s.beat.Reset(s.heartbeat - silence)
}

func (s *Subscription) takeBeat() bool {
	due := s.beatDue
	s.beatDue = false
	return due
}
