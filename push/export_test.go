package push

import (
	"fmt"
	"maps"
	"slices"
)

// LogState is what a log holds, for tests of what it frees. Together are those
// of the parked that wait in a cohort.
type LogState struct{ Topics, Patterns, Links, Events, Bytes, Aging, Parked, Together int }

// State returns what the hub's log holds.
func (h *Hub) State() LogState {
	l := h.log
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LogState{
		Topics: len(l.topics), Patterns: len(l.patterns), Events: len(l.all.ring.live()) - l.all.ring.dead,
		Bytes: l.bytes, Aging: len(l.expiry), Parked: len(l.all.parked) + len(l.lobby.parked),
	}
	for _, f := range l.feeds() {
		s.Parked += len(f.parked)
		for _, c := range f.cohorts {
			s.Together += len(c.members)
		}
	}
	for _, t := range l.topics {
		s.Links += len(t.patterns)
	}
	s.Parked += s.Together
	return s
}

func (l *log) feeds() (all []*feed) {
	for _, t := range l.topics {
		all = append(all, &t.feed)
	}
	return slices.AppendSeq(all, maps.Values(l.patterns))
}

// Open returns the hub's subscriptions.
func (h *Hub) Open() (open []*Subscription) {
	h.each(func(s *Subscription) { open = append(open, s) })
	return open
}

// CheckLog reports what is wrong inside the hub's log and cohorts, or nil.
func (h *Hub) CheckLog() error {
	if err := h.log.check(); err != nil {
		return err
	}
	open := h.Open()
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	for _, f := range h.log.feeds() {
		if err := f.checkCohorts(); err != nil {
			return fmt.Errorf("cohorts of %s: %w", f.pattern, err)
		}
	}
	for _, s := range open {
		if st := s.reader.stream.Load(); st != nil && st.cohort != nil {
			if err := st.checkCohort(); err != nil {
				return fmt.Errorf("a stream of %q: %w", s.topicsLocked(), err)
			}
		}
	}
	return nil
}

// checkCohorts checks those that wait at f.
func (f *feed) checkCohorts() error {
	for _, c := range f.cohorts {
		if len(c.members) == 0 || !c.parked || c.handed != 0 || c.feed != f || c.batch != nil || len(c.members) > crowd {
			return fmt.Errorf("one of %d waits wrongly: parked %v, handed %d", len(c.members), c.parked, c.handed)
		}
		for _, st := range c.members {
			if st.cohort != c {
				return fmt.Errorf("a member is elsewhere")
			}
		}
	}
	return nil
}

// checkCohort checks a stream's place in its cohort, which nobody else has.
func (st *Stream) checkCohort() error {
	c, r := st.cohort, &st.sub.reader
	st.shard.mu.Lock()
	defer st.shard.mu.Unlock()
	at := c.expiry.soonest
	switch {
	case c.handed < 0 || c.handed > len(c.members) || st.place >= len(c.members) || c.members[st.place] != st:
		return fmt.Errorf("not at its place %d of %d, %d handed", st.place, len(c.members), c.handed)
	case c.shard != st.shard || c.enc != st.frames.Encoding() || c.parked != slices.Contains(c.feed.cohorts, c):
		return fmt.Errorf("in a cohort of others, or of nowhere")
	case len(r.atts) != 1 || r.atts[0].feed != c.feed || slices.Contains(c.feed.parked, r.atts[0]):
		return fmt.Errorf("follows another feed, or waits twice")
	case st.held || st.left:
		return fmt.Errorf("held %v, left %v", st.held, st.left)
	case st.sub.expires != 0 && (at == 0 || at > st.sub.expires):
		return fmt.Errorf("its credentials run out unnoticed")
	}
	return nil
}

// CheckLog reports what is wrong inside the broker's log, or nil.
func (b *Memory) CheckLog() error { return b.log.check() }

func (l *log) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*Message
	for name, t := range l.topics {
		if err := l.checkTopic(name, t); err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
		all = append(all, t.ring.live()...)
	}
	slices.SortFunc(all, func(a, b *Message) int { return int(a.ID.Seq) - int(b.ID.Seq) })
	if err := checkRing(&l.all.ring, all, 0); err != nil {
		return fmt.Errorf("the ring of all: %w", err)
	}
	bytes := 0
	for _, m := range all {
		bytes += int(m.size)
	}
	if bytes != l.bytes {
		return fmt.Errorf("%d bytes are counted, there are %d", l.bytes, bytes)
	}
	for name, f := range l.patterns {
		matching := slices.DeleteFunc(slices.Clone(all), func(m *Message) bool { return !Match(name, m.Topic) })
		if err := checkRing(&f.ring, matching, f.from); err != nil {
			return fmt.Errorf("the ring of %s: %w", name, err)
		}
	}
	for i, t := range l.expiry {
		if t.expiry != i || l.topics[t.pattern] != t {
			return fmt.Errorf("%s is in the expiry queue at %d, its index is %d", t.pattern, i, t.expiry)
		}
	}
	return nil
}

// checkTopic checks one topic's links, evidence and events.
func (l *log) checkTopic(name string, t *topicFeed) error {
	links := 0
	for pattern, f := range l.patterns {
		if Match(pattern, name) {
			if links++; !slices.Contains(t.patterns, f) || f.sentinel < t.sentinel {
				return fmt.Errorf("not linked to %s, or its evidence is newer", pattern)
			}
		}
	}
	m := t.ring.front()
	switch {
	case links != len(t.patterns):
		return fmt.Errorf("%d links, %d patterns match", len(t.patterns), links)
	case m == nil && t.readers == 0:
		return fmt.Errorf("has neither events nor readers")
	case m != nil && m.ID.Seq <= t.sentinel:
		return fmt.Errorf("event %d is retained, though %d was removed", m.ID.Seq, t.sentinel)
	case m != nil && t.rule.age > 0 && t.expiry < 0:
		return fmt.Errorf("has events that do not age")
	}
	return nil
}

// checkRing checks that a ring has the messages after from, and counts right
// those that are gone.
func checkRing(r *ring, want []*Message, from uint64) error {
	want = slices.DeleteFunc(want, func(m *Message) bool { return m.ID.Seq <= from })
	gone := 0
	have := slices.DeleteFunc(slices.Clone(r.live()), func(m *Message) bool {
		if m.gone {
			gone++
		}
		return m.gone
	})
	if !slices.Equal(have, want) || gone != r.dead || gone > max(32, len(r.live())/2+1) {
		return fmt.Errorf("it has %d messages and %d that are gone, want %d and %d", len(have), gone, len(want), r.dead)
	}
	return nil
}
