package push

import (
	"cmp"
	"container/heap"
	"time"
)

// Retention says how much of a topic's history a broker keeps. Whatever limit
// is reached first holds; the newest event is kept even if it is larger than
// Bytes. Zero fields take the default; a negative one means no limit.
type Retention struct {
	Count     int           // events; default 1000
	Bytes     int           // payload plus about 256 bytes an event; default 16 MiB
	Age       time.Duration // default 24 h
	Ephemeral bool          // for typing indicators and the like: only readers that keep up see the events; never in History, never a gap
}

// The defaults of Retention.
const (
	DefaultCount = 1000
	DefaultBytes = 16 << 20
	DefaultAge   = 24 * time.Hour
)

// Rule is a Retention for all topics that match a pattern.
type Rule struct {
	Pattern string
	Retention
}

// retention is a Retention with its defaults filled in; 0 is no limit.
type retention struct {
	count, bytes int
	age          time.Duration
	ephemeral    bool
}

func (r Retention) withDefaults() retention {
	if r.Ephemeral { // only for readers that keep up
		r.Count, r.Age = cmp.Or(r.Count, 128), cmp.Or(r.Age, time.Minute)
	}
	return retention{
		count: max(cmp.Or(r.Count, DefaultCount), 0), bytes: max(cmp.Or(r.Bytes, DefaultBytes), 0),
		age: max(cmp.Or(r.Age, DefaultAge), 0), ephemeral: r.Ephemeral,
	}
}

// trim keeps a topic and the log within their bounds after an append.
func (l *log) trim(t *topicFeed) {
	for n := len(t.ring.live()); n > 1 && (t.rule.count > 0 && n > t.rule.count || t.rule.bytes > 0 && t.bytes > t.rule.bytes); n-- {
		l.removeOldest(t)
	}
	for l.maxBytes > 0 && l.bytes > l.maxBytes {
		oldest := l.all.ring.front()
		if oldest == nil || oldest.ID == l.head {
			break
		}
		victim := oldest.feed
		l.removeOldest(victim)
		l.freeTopic(victim)
	}
	if t.expiry < 0 && t.rule.age > 0 {
		l.schedule(t)
	}
}

// removeOldest removes a topic's oldest event and leaves the evidence.
func (l *log) removeOldest(t *topicFeed) {
	m := t.ring.front()
	if m == nil {
		return
	}
	t.ring.drop()
	m.gone, m.feed = true, nil
	t.bytes -= int(m.size)
	l.bytes -= int(m.size)
	if !m.ephemeral {
		t.sentinel, l.all.sentinel = m.ID.Seq, max(l.all.sentinel, m.ID.Seq)
	}
	for _, f := range t.patterns {
		if !m.ephemeral {
			f.sentinel = max(f.sentinel, m.ID.Seq)
		}
		if m.ID.Seq > f.from {
			f.ring.forget()
		}
	}
	l.all.ring.forget()
}

// purge removes all events of a topic.
func (l *log) purge(t *topicFeed) {
	for t.ring.front() != nil {
		l.removeOldest(t)
	}
	l.freeTopic(t)
}

// minSweep bounds how often the log looks for aged events; they go up to this
// much late.
const minSweep = 50 * time.Millisecond

// expiryQueue is a heap of the topics with events that age, by a time before
// which none of theirs goes.
type expiryQueue []*topicFeed

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].expiry, q[j].expiry = i, j
}

// Push implements heap.Interface.
func (q *expiryQueue) Push(x any) {
	t := x.(*topicFeed)
	t.expiry = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *expiryQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.expiry = -1
	return t
}

func (l *log) schedule(t *topicFeed) {
	t.due = t.ring.front().added + t.rule.age
	heap.Push(&l.expiry, t)
	if l.expiry[0] == t {
		l.arm()
	}
}

func (l *log) unschedule(t *topicFeed) {
	if t.expiry >= 0 {
		heap.Remove(&l.expiry, t.expiry)
	}
}

func (l *log) arm() {
	if len(l.expiry) == 0 || l.closed != nil {
		return
	}
	wait := max(l.expiry[0].due-l.now(), minSweep)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.sweep)
		return
	}
	l.timer.Reset(wait)
}

// sweep removes the events that are too old.
func (l *log) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for len(l.expiry) > 0 && l.expiry[0].due <= now {
		t := heap.Pop(&l.expiry).(*topicFeed)
		for m := t.ring.front(); m != nil && m.added+t.rule.age <= now; m = t.ring.front() {
			l.removeOldest(t)
		}
		if t.ring.front() != nil {
			l.schedule(t)
		} else {
			l.freeTopic(t)
		}
	}
	l.arm()
}
