package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/dualpush-go/dualpush/push"
)

const (
	pageBytes  = 1 << 20 // of events on a page
	pageTopics = 128     // topics that are read with one script
	nameChunk  = 10_000  // names of topics that are read at once
)

// everything matches all topics, reserved ones, too.
var everything = []string{"\x00"}

var (
	// errMoved says that the epoch changed while a page was read.
	errMoved = errors.New("redisbroker: the log was lost while a page was read")
	// errForeign says that a position is not of the log, so that topics with
	// nothing newer count, too.
	errForeign = errors.New("redisbroker: a position of another epoch")
)

// History implements push.Broker. A page of topics is read in one atomic step;
// one of patterns, or of very many topics, in several, each with its evidence.
func (b *Broker) History(ctx context.Context, q push.Query) (push.Page, error) {
	return b.page(ctx, q, q.Topics)
}

func (b *Broker) page(ctx context.Context, q push.Query, patterns []string) (push.Page, error) {
	if err := b.usable(ctx); err != nil {
		return push.Page{}, err
	}
	whole := q.After.IsZero()
	for range 4 {
		p, err := b.tryPage(ctx, q, patterns, whole)
		switch {
		case errors.Is(err, errForeign):
			whole = true
		case !errors.Is(err, errMoved):
			return p, err
		}
	}
	return push.Page{}, errMoved
}

func (b *Broker) tryPage(ctx context.Context, q push.Query, patterns []string, whole bool) (push.Page, error) {
	r := &reading{b: b, q: q, limit: q.Limit}
	if r.limit <= 0 {
		r.limit = push.DefaultLimit
	}
	var err error
	if r.state, err = b.state(ctx); err != nil {
		return push.Page{}, err
	}
	r.stop = r.bound()
	topics, err := r.matching(ctx, patterns, whole || q.After.Epoch != r.state.epoch)
	if err != nil {
		return push.Page{}, err
	}
	for chunk := range slices.Chunk(topics, pageTopics) {
		if r.full(chunk[0].newest) {
			r.more = true
			break
		}
		if err := r.read(ctx, chunk); err != nil {
			return push.Page{}, err
		}
		if r.foreign && !whole {
			return push.Page{}, errForeign
		}
	}
	return r.page(), nil
}

// matching returns the topics that have, or had, events from the position on
// and match: those with the newest events first.
func (r *reading) matching(ctx context.Context, patterns []string, whole bool) ([]topic, error) {
	named := map[string]bool{}
	var list []topic
	var wild []string
	for _, p := range patterns {
		switch {
		case push.IsPattern(p) || p == everything[0]:
			wild, r.lasting = append(wild, p), true
		case !named[p] && !r.b.cfg.rule(p).ephemeral:
			named[p], r.lasting = true, true
			list = append(list, topic{p, math.MaxUint64})
		}
	}
	if len(wild) > 0 {
		more, err := r.matches(ctx, wild, named, whole)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if len(list) == 0 {
		list = []topic{{"", math.MaxUint64}} // only to verify the position
	}
	return list, nil
}

// matches returns the topics of the index that match patterns and are not in
// the list yet.
func (r *reading) matches(ctx context.Context, wild []string, named map[string]bool, whole bool) (list []topic, err error) {
	lowest := "-inf"
	if !whole {
		lowest = strconv.FormatUint(r.q.After.Seq, 10)
	}
	for highest := "+inf"; ; {
		topics, err := r.b.index(ctx, highest, lowest, nameChunk, "REV")
		if err != nil {
			return nil, err
		}
		for _, t := range topics {
			if t.name != "" && !named[t.name] && slices.ContainsFunc(wild, func(p string) bool { return p == everything[0] || push.Match(p, t.name) }) {
				list = append(list, t)
			}
		}
		if len(topics) < nameChunk {
			return list, nil
		}
		highest = beyond(topics)
	}
}

// reading is a page that is being read.
type reading struct {
	b       *Broker
	q       push.Query
	limit   int
	state   state
	stop    push.ID // where the page ends, so far: the bound, or an event's ID
	lasting bool    // some topic is not ephemeral
	foreign bool    // q.After is of another epoch
	more    bool    // older events were left out (Latest)
	gone    uint64  // the newest sequence that is gone of what matches
	from    uint64  // with Latest: everything above it was read
	events  []push.Event
}

// bound returns where the page ends at most.
func (r *reading) bound() push.ID {
	before := r.q.Before
	switch {
	case before.IsZero() || before.Epoch == r.state.epoch && before.Seq > r.state.seq:
		return r.state.head()
	case before.Epoch != r.state.epoch:
		return push.ID{Epoch: r.state.epoch}
	}
	return push.ID{Epoch: r.state.epoch, Seq: max(before.Seq, 1) - 1}
}

// full reports whether the page of the newest events needs nothing of a topic,
// nor of those that come after it.
func (r *reading) full(newest uint64) bool {
	return r.q.Latest && len(r.events) == r.limit && newest < r.events[0].ID.Seq
}

// read adds what some topics have.
func (r *reading) read(ctx context.Context, topics []topic) error {
	b := r.b
	epoch, latest := "", 0
	if !r.q.After.IsZero() {
		epoch = strconv.FormatUint(r.q.After.Epoch, 10)
	}
	if r.q.Latest {
		latest = 1
	}
	keys := b.keys.log()
	room := max(pageBytes/len(topics), 32<<10)
	args := append(make([]any, 0, 7+3*len(topics)), epoch, r.q.After.Seq, r.q.After.Check, r.stop.Seq, r.limit+1, latest, room)
	for _, t := range topics {
		rule := b.cfg.rule(t.name)
		keys = append(keys, b.keys.topic(t.name))
		args = append(args, t.name, rule.count, rule.age)
	}
	reply, err := b.eval(ctx, "reading history", pageScript, keys, args...)
	if err != nil {
		return err
	}
	s := b.learn(reply[0].([]any))
	if s.epoch != r.state.epoch {
		return errMoved
	}
	r.state.floor = max(r.state.floor, s.floor)
	r.foreign = r.foreign || number(reply[1]) == 0
	for i, t := range topics {
		if err := r.add(t.name, reply[2+i].([]any)); err != nil {
			return err
		}
	}
	r.cut()
	return nil
}

// add adds what one topic has.
func (r *reading) add(topic string, part []any) error {
	r.gone = max(r.gone, number(part[0]))
	entries := part[2].([]any)
	for _, x := range entries {
		entry := x.([]any)
		seq, check, err := position(entry[0].(string))
		if err != nil {
			return err
		}
		e := push.Event{ID: r.state.id(seq, check), Topic: topic}
		if err := parseContent(&e, entry[1].(string)); err != nil {
			return fmt.Errorf("%w (topic %q)", err, topic)
		}
		r.events = append(r.events, e)
	}
	if number(part[1]) == 0 || len(entries) == 0 {
		return nil
	}
	edge := r.events[len(r.events)-1].ID // of this topic nothing beyond it was read
	if r.q.Latest {
		r.more, r.from = true, max(r.from, edge.Seq)
	} else if edge.Seq < r.stop.Seq {
		r.stop = edge
	}
	return nil
}

// cut leaves what fits a page, and has the page end there.
func (r *reading) cut() {
	sortEvents(r.events)
	if r.q.Latest {
		r.cutFront()
		return
	}
	n, bytes := 0, 0
	for n < len(r.events) && n < r.limit && r.events[n].ID.Seq <= r.stop.Seq && (n == 0 || bytes <= pageBytes) {
		bytes += len(r.events[n].Data)
		n++
	}
	if n < len(r.events) && n > 0 && r.events[n-1].ID.Seq < r.stop.Seq {
		r.stop = r.events[n-1].ID
	}
	r.events = r.events[:n]
}

// cutFront leaves the newest events.
func (r *reading) cutFront() {
	n, bytes := len(r.events), 0
	for n > 0 && len(r.events)-n < r.limit && r.events[n-1].ID.Seq >= r.from && (n == len(r.events) || bytes <= pageBytes) {
		n--
		bytes += len(r.events[n].Data)
	}
	if n > 0 {
		r.more, r.from = true, r.events[n].ID.Seq
	}
	r.events = r.events[n:]
}

// page judges, with all that was read, what is missing.
func (r *reading) page() push.Page {
	after, hole := r.q.After, r.gone
	if r.lasting {
		hole = max(hole, r.state.floor)
	}
	p := push.Page{Events: r.events, Upto: r.stop}
	if r.foreign {
		p.Gap = &push.Gap{From: after, To: r.position(hole), Reason: push.ReasonEpoch}
		return p
	}
	if p.Upto.Seq < after.Seq { // Before lies before After
		p.Upto = after
	}
	from := after
	if after.IsZero() || r.q.Latest && r.more { // it is asked for from its first event on
		if len(p.Events) == 0 {
			return p
		}
		from = p.Events[0].ID
	}
	if hole > from.Seq {
		p.Gap = &push.Gap{From: from, To: r.position(hole), Reason: push.ReasonTrimmed}
	}
	return p
}

// position returns the position of a sequence, whose event is gone.
func (r *reading) position(seq uint64) push.ID {
	if seq == r.state.seq {
		return r.state.head()
	}
	return push.ID{Epoch: r.state.epoch, Seq: seq}
}
