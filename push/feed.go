package push

import (
	"cmp"
	"slices"
	"time"
)

// feed is a shared ring of the messages that match one topic or pattern, for
// as many readers as there are. Everything in it is guarded by log.mu.
type feed struct {
	pattern  string
	ring     ring
	sentinel uint64 // newest sequence that was removed from it (0: none)
	from     uint64 // of a pattern: the ring has what is retained after it
	whole    bool   // of one topic: what it retains has no holes
	lossy    bool   // of an ephemeral topic: nothing in it is ever missed
	readers  int
	parked   []*attachment // readers that wait for news
	parkGen  uint64        // attachments of an older generation are not in parked
	cohorts  []*cohort     // streams that wait together
}

// attachment is one reader at one feed.
type attachment struct {
	feed    *feed
	reader  *reader
	policy  Policy
	since   uint64 // the topic was added at this position: only later events are for the reader
	parkGen uint64
	parkAt  int // index in feed.parked, if parked
}

// topicFeed is the feed of one topic: it owns the topic's events.
type topicFeed struct {
	feed
	rule     retention
	bytes    int
	patterns []*feed // the pattern feeds that the topic's events are in, too
	expiry   int     // index in log.expiry, -1 if not there
	due      time.Duration
}

// hole returns the newest sequence after seen that may have been removed from
// the feed, 0 if there is none. The floor says nothing about the events that a
// topic still has: its oldest go first.
func (f *feed) hole(floor, seen uint64) uint64 {
	to := max(f.sentinel, floor)
	if to <= seen || f.lossy {
		return 0
	}
	if f.whole {
		if m := f.ring.front(); m != nil {
			to = min(to, m.ID.Seq-1)
		}
	}
	if to <= seen {
		return 0
	}
	return to
}

func (f *feed) park(a *attachment) {
	if a.parkGen != f.parkGen+1 {
		a.parkGen, a.parkAt = f.parkGen+1, len(f.parked)
		f.parked = append(f.parked, a)
	}
}

func (f *feed) unpark(a *attachment) {
	if a.parkGen != f.parkGen+1 {
		return
	}
	last := len(f.parked) - 1
	f.parked[a.parkAt] = f.parked[last]
	f.parked[a.parkAt].parkAt = a.parkAt
	f.parked[last] = nil
	f.parked = f.parked[:last]
	a.parkGen = 0
}

// wake wakes the readers that wait for f. They have seen everything that
// matches up to head.
func (f *feed) wake(head ID) {
	f.wakeCohorts(head)
	if len(f.parked) == 0 {
		return
	}
	var few [8]*shard
	shards := few[:0]
	for _, a := range f.parked {
		r := a.reader
		if st := r.stream.Load(); st == nil {
			r.unpark(head)
			r.wake()
		} else {
			r.moveTo(head)
			if !slices.Contains(shards, st.shard) {
				shards = append(shards, st.shard)
			}
		}
	}
	for _, sh := range shards {
		sh.wake(f.parked)
	}
	clear(f.parked)
	f.parked = f.parked[:0]
	f.parkGen++
}

// topic returns the feed of a topic, made if it is not there.
func (l *log) topic(name string) *topicFeed {
	if t := l.topics[name]; t != nil {
		return t
	}
	t := &topicFeed{feed: feed{pattern: name, whole: true}, rule: l.rule(name), expiry: -1}
	t.lossy = t.rule.ephemeral
	l.byShape.covering(name, func(f *feed) { t.patterns = append(t.patterns, f) })
	l.topics[name] = t
	l.byTopic.put(name, t)
	return t
}

// attach adds a reader to the feed of a topic or pattern, which it reads after
// a sequence.
func (l *log) attach(r *reader, pattern string, policy Policy, after uint64) *attachment {
	var f *feed
	if IsPattern(pattern) {
		f = l.patternFeed(pattern)
		if after < f.from {
			ms, _ := l.gather(pattern, after)
			f.ring, f.from = ring{buf: ms}, after
		}
	} else {
		f = &l.topic(pattern).feed
	}
	f.readers++
	return &attachment{feed: f, reader: r, policy: policy}
}

func (l *log) patternFeed(pattern string) *feed {
	if f := l.patterns[pattern]; f != nil {
		return f
	}
	f := &feed{pattern: pattern, from: l.head.Seq}
	l.byTopic.matching(pattern, func(t *topicFeed) {
		t.patterns = append(t.patterns, f)
		f.sentinel = max(f.sentinel, t.sentinel)
	})
	l.patterns[pattern] = f
	l.byShape.put(pattern, f)
	return f
}

// gather returns what is retained after a sequence of all topics that match a
// pattern, and the newest sequence that was removed from them.
func (l *log) gather(pattern string, after uint64) (ms []*Message, sentinel uint64) {
	n := 0
	l.byTopic.matching(pattern, func(t *topicFeed) {
		n += len(t.ring.after(after))
		sentinel = max(sentinel, t.sentinel)
	})
	all := l.all.ring.after(after)
	ms = make([]*Message, 0, n)
	if n > len(all)/16 { // then it is faster to look at all than to sort
		for _, m := range all {
			if !m.gone && Match(pattern, m.Topic) {
				ms = append(ms, m)
			}
		}
		return ms, sentinel
	}
	l.byTopic.matching(pattern, func(t *topicFeed) { ms = append(ms, t.ring.after(after)...) })
	slices.SortFunc(ms, func(a, b *Message) int { return cmp.Compare(a.ID.Seq, b.ID.Seq) })
	return ms, sentinel
}

// detach removes a reader from a feed, and the feed if nobody needs it.
func (l *log) detach(a *attachment) {
	f := a.feed
	f.readers--
	f.unpark(a)
	if f.readers > 0 || f == &l.all {
		return
	}
	if t := l.topics[f.pattern]; t != nil && &t.feed == f {
		l.freeTopic(t)
		return
	}
	delete(l.patterns, f.pattern)
	l.byShape.remove(f.pattern)
	l.byTopic.matching(f.pattern, func(t *topicFeed) {
		if i := slices.Index(t.patterns, f); i >= 0 {
			t.patterns = slices.Delete(t.patterns, i, i+1)
		}
	})
}

// freeTopic forgets a topic that has neither events nor readers. With it goes
// the evidence of what was removed, so the floor rises first.
func (l *log) freeTopic(t *topicFeed) {
	if t.readers > 0 || t.ring.front() != nil {
		return
	}
	l.floor = max(l.floor, t.sentinel)
	l.unschedule(t)
	delete(l.topics, t.pattern)
	l.byTopic.remove(t.pattern)
}
