package natsbroker

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

// maxPageBytes is the payload from which on a page is full.
const maxPageBytes = 1 << 20

// errMoved says that the log got another epoch while a page was read.
var errMoved = errors.New("natsbroker: the log got another epoch while it was read")

// History implements push.Broker. The pages are read from any replica; what
// decides over gaps is asked of the leader, after the page was read.
func (b *Broker) History(ctx context.Context, q push.Query) (push.Page, error) {
	inner, cancel, err := b.begin(ctx)
	if err != nil {
		return push.Page{}, err
	}
	defer cancel()
	p, err := b.history(inner, q)
	if errors.Is(err, errMoved) || deleted(err) {
		p, err = b.history(inner, q)
	}
	if err != nil {
		return push.Page{}, b.explain(ctx, inner, err)
	}
	return p, nil
}

func (b *Broker) history(ctx context.Context, q push.Query) (push.Page, error) {
	s, err := b.look(ctx)
	if err != nil {
		return push.Page{}, err
	}
	r := b.reading(s, q)
	if q.After.IsZero() {
		return r.page(ctx)
	}
	known, err := b.knows(ctx, &s, q.After)
	if err != nil {
		return push.Page{}, err
	}
	if known {
		return r.page(ctx)
	}
	r.q.After = push.ID{Epoch: s.epoch}
	p, err := r.page(ctx)
	p.Gap = &push.Gap{From: q.After, To: r.hole, Reason: push.ReasonEpoch}
	return p, err
}

// reading is a page while it is read.
type reading struct {
	*Broker
	state
	q       push.Query
	limit   int
	end     push.ID // the page ends there at the latest
	filters []string
	match   func(topic string) bool

	found     []push.Event // what was read of it, ascending
	sentinels map[string]uint64
	hole      push.ID // the newest position that may have been removed of what matches
}

func (b *Broker) reading(s state, q push.Query) *reading {
	r := &reading{Broker: b, state: s, q: q, limit: q.Limit, end: s.head, filters: b.filters(q.Topics), match: matcher(q.Topics)}
	if r.limit <= 0 {
		r.limit = push.DefaultLimit
	}
	switch {
	case q.Before.IsZero():
	case q.Before.Epoch != s.epoch:
		r.end = push.ID{Epoch: s.epoch}
	case q.Before.Seq <= s.head.Seq:
		r.end = push.ID{Epoch: s.epoch, Seq: max(q.Before.Seq, 1) - 1}
	}
	return r
}

func (r *reading) page(ctx context.Context) (p push.Page, err error) {
	var cut bool
	if r.q.Latest {
		p.Events, cut, err = r.newest(ctx)
	} else {
		p.Events, cut, err = r.oldest(ctx)
	}
	if err != nil {
		return p, err
	}
	p.Upto = r.end
	if cut && !r.q.Latest {
		p.Upto = p.Events[len(p.Events)-1].ID
	}
	if p.Upto.Seq < r.q.After.Seq { // Before lies before After
		p.Upto = r.q.After
	}
	from := r.q.After
	if from.IsZero() || r.q.Latest && cut { // it is asked for from its first event on
		if len(p.Events) == 0 {
			return p, nil
		}
		from = p.Events[0].ID
	}
	if r.hole.Seq > from.Seq {
		p.Gap = &push.Gap{From: from, To: r.hole, Reason: push.ReasonTrimmed}
	}
	return p, nil
}

// oldest returns the events after After. It reads on until there are as many as
// were asked for and not hidden.
func (r *reading) oldest(ctx context.Context) ([]push.Event, bool, error) {
	from := r.q.After.Seq + 1
	for {
		next, err := r.read(ctx, from, r.limit+1-len(r.visible()))
		if err != nil {
			return nil, false, err
		}
		if err := r.judge(ctx); err != nil {
			return nil, false, err
		}
		events := r.visible()
		if n := r.fill(events); n < len(events) {
			return events[:n], true, nil
		}
		if next > r.end.Seq {
			return events, false, nil
		}
		from = next
	}
}

// fill returns how many of events a page takes.
func (r *reading) fill(events []push.Event) int {
	bytes := 0
	for i := range events {
		if i == r.limit || bytes > maxPageBytes {
			return i
		}
		bytes += len(events[i].Data)
	}
	return len(events)
}

// newest returns the newest events after After.
func (r *reading) newest(ctx context.Context) ([]push.Event, bool, error) {
	for want := uint64(r.limit) + 1; ; want *= 2 {
		from, err := r.startOfNewest(ctx, want)
		if err != nil {
			return nil, false, err
		}
		r.found = nil
		for next := from; next <= r.end.Seq; {
			if next, err = r.read(ctx, next, maxBatch); err != nil {
				return nil, false, err
			}
		}
		if err := r.judge(ctx); err != nil {
			return nil, false, err
		}
		events := r.visible()
		if n := r.fillBack(events); n > 0 {
			return events[n:], true, nil
		}
		if from <= r.q.After.Seq+1 {
			return events, false, nil
		}
	}
}

// fillBack returns how many of events, the oldest, a page of the newest leaves
// out.
func (r *reading) fillBack(events []push.Event) int {
	bytes := 0
	for i, e := range slices.Backward(events) {
		if n := len(events) - 1 - i; n == r.limit || bytes > maxPageBytes {
			return i + 1
		}
		bytes += len(e.Data)
	}
	return 0
}

// visible returns what was found and was not removed: not even as evidence.
func (r *reading) visible() []push.Event {
	if len(r.sentinels) == 0 {
		return r.found
	}
	events := make([]push.Event, 0, len(r.found))
	for _, e := range r.found {
		if e.ID.Seq > r.sentinels[e.Topic] {
			events = append(events, e)
		}
	}
	return events
}

// judge asks what may have been removed of what matches after After: what lies
// at or below the floor, or at or below the oldest message, the sentinel, of a
// full topic. It is asked after reading, since removal only moves forward.
func (r *reading) judge(ctx context.Context) error {
	info, err := r.info(ctx, "")
	if err != nil {
		return err
	}
	if epochOf(info) != r.epoch {
		return errMoved
	}
	r.first = info.State.FirstSeq
	r.hole = push.ID{Epoch: r.epoch, Seq: r.floor()}
	if n := r.cfg.perSubject(); n < 0 || info.State.LastSeq-min(r.q.After.Seq, info.State.LastSeq) < uint64(n) {
		return nil // no topic can have so many messages after After
	}
	full, err := r.full(ctx)
	if err != nil {
		return err
	}
	return r.findSentinels(ctx, full)
}

// full returns the subjects of the topics that match and are full.
func (r *reading) full(ctx context.Context) ([]string, error) {
	lists := make([][]string, len(r.filters))
	err := parallel(ctx, len(r.filters), func(ctx context.Context, i int) error {
		info, err := r.info(ctx, r.filters[i])
		if err != nil {
			return err
		}
		for subject, n := range info.State.Subjects {
			if topic, ok := r.topic(subject); ok && int64(n) >= r.cfg.perSubject() && r.match(topic) {
				lists[i] = append(lists[i], subject)
			}
		}
		return nil
	})
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all, err
}

// findSentinels finds the oldest messages of full subjects.
func (r *reading) findSentinels(ctx context.Context, full []string) error {
	found := make([]*stored, len(full))
	err := parallel(ctx, len(full), func(ctx context.Context, i int) (err error) {
		found[i], err = r.get(ctx, getRequest{Seq: 1, NextFor: full[i]})
		if errors.Is(err, jetstream.ErrMsgNotFound) { // gone by age: below the floor, then
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	r.sentinels = make(map[string]uint64, len(full))
	for _, m := range found {
		if m == nil {
			continue
		}
		topic, _ := r.topic(m.subject)
		r.sentinels[topic] = m.seq
		if m.seq > r.hole.Seq {
			r.hole = m.id(r.epoch)
		}
	}
	return nil
}
