package push

import (
	"math/rand/v2"
	"sync"
	"time"
)

// log is the ordered log in memory: the memory broker's own, or a hub's window
// onto the tail of another broker's. One mutex guards all of it, and with it
// the positions of its readers: so no reader can see a sequence before all its
// matching events below.
type log struct {
	mu       sync.Mutex
	head     ID
	floor    uint64 // below it a cursor gets a gap without further evidence
	topics   map[string]*topicFeed
	patterns map[string]*feed
	byTopic  tree[*topicFeed] // the same topics
	byShape  tree[*feed]      // the same patterns
	all      feed             // every event that is retained
	lobby    feed             // where readers without topics park
	bytes    int
	maxBytes int
	rule     func(topic string) retention
	expiry   expiryQueue
	timer    *time.Timer // for the next expiry
	closed   error
	secret   uint64       // of the checks
	lists    [][]*Message // scratch of collect
	started  time.Time    // monotonic zero of message.added
}

func newLog(rule func(string) retention, maxBytes int) *log {
	return &log{
		topics: map[string]*topicFeed{}, patterns: map[string]*feed{}, rule: rule, maxBytes: maxBytes,
		secret: rand.Uint64(), started: time.Now(),
	}
}

// now is monotonic: a wall clock that jumps ages nothing.
func (l *log) now() time.Duration { return time.Since(l.started) }

// newEpoch is never 0.
func newEpoch() uint64 {
	for {
		if e := rand.Uint64(); e != 0 {
			return e
		}
	}
}

// id returns the ID of a sequence in the memory broker's log. Its checks are a
// keyed mix of the sequence (splitmix64), so that any sequence can be
// verified, also when its event is gone.
func (l *log) id(seq uint64) ID {
	if seq == 0 {
		return ID{Epoch: l.head.Epoch}
	}
	z := seq*0x9e3779b97f4a7c15 + l.secret
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return ID{l.head.Epoch, seq, uint32(z>>32) | 1}
}

// knows reports whether id is a position of the memory broker's log.
func (l *log) knows(id ID) bool {
	return id.Epoch == l.head.Epoch && id.Seq <= l.head.Seq && (id.Check == 0 || id.Check == l.id(id.Seq).Check)
}

// append adds a message with its ID and time set, at the head, and wakes who waits for
// it. The caller holds mu.
func (l *log) append(m *Message) {
	t := l.topic(m.Topic)
	m.Topic, m.feed = t.pattern, t // the publisher's may be a piece of something large
	m.ephemeral = t.rule.ephemeral
	head := l.head
	l.head = m.ID
	l.all.ring.push(m)
	t.ring.push(m)
	t.bytes += int(m.size)
	l.bytes += int(m.size)
	t.wake(head)
	l.all.wake(head)
	for _, f := range t.patterns {
		f.ring.push(m)
		f.wake(head)
	}
	l.trim(t)
}

// shut ends every reader with err.
func (l *log) shut(err error) {
	l.mu.Lock()
	if l.closed != nil {
		l.mu.Unlock()
		return
	}
	l.closed = err
	if l.timer != nil {
		l.timer.Stop()
	}
	l.wakeAll()
	l.mu.Unlock()
}

// wakeAll wakes every reader that waits.
func (l *log) wakeAll() {
	l.all.wake(l.head)
	l.lobby.wake(l.head)
	for _, t := range l.topics {
		t.wake(l.head)
	}
	for _, f := range l.patterns {
		f.wake(l.head)
	}
}
