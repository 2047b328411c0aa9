package push_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// parsed is a form of the wire that says all that a stream is told: a line for
// each thing, the position second. There are two encodings of events.
type parsed struct{ enc *push.Encoding }

var parsedForms = []parsed{
	{push.NewEncoding("short", func(dst []byte, e *push.Event) []byte {
		return fmt.Appendf(dst, "e %s %s %s. %s\n", e.ID, e.Topic, e.Key, e.Data)
	})},
	{push.NewEncoding("long", func(dst []byte, e *push.Event) []byte {
		return fmt.Appendf(dst, "e %s %s %s. %s some more words, as in another encoding\n", e.ID, e.Topic, e.Key, e.Data)
	})},
}

func (p parsed) Encoding() *push.Encoding { return p.enc }

func (p parsed) AppendOpen(dst []byte, s *push.Subscription) ([]byte, error) {
	return fmt.Appendf(dst, "o %s\n", s.Position()), nil
}

func (p parsed) AppendBatch(dst []byte, _ *push.Subscription, b *push.Batch) ([]byte, error) {
	for _, c := range b.Controls {
		if d, ok := c.Data.(push.SubscriptionsData); ok {
			dst = fmt.Appendf(dst, "u %s %s %s\n", b.From, d.Reason, strings.Join(d.Topics, ","))
		} else {
			dst = fmt.Appendf(dst, "n %s %s\n", b.From, c.Name)
		}
	}
	if g := b.Gap; g != nil {
		dst = fmt.Appendf(dst, "g %s %s %s %s %s\n", b.From, g.From, g.To, g.Reason, strings.Join(b.Topics, ","))
	}
	if heartbeat(*b) {
		dst = fmt.Appendf(dst, "h %s\n", b.Upto)
	}
	return dst, nil
}

// moody is a connection that takes so many bytes at a time, is stuck or lost,
// or at which the writer stands still.
type moody struct {
	mu      sync.Mutex
	got     []byte
	writing []byte        // what a Write that waits will have written
	each    int           // bytes that TryWrite takes; 0: all
	stuck   chan struct{} // if not nil, room bytes are taken, and then none until it is closed
	room    int
	still   chan struct{} // if not nil, TryWrite waits for it
	lost    error
	busy    atomic.Bool
	broken  atomic.Bool // two wrote at a time
}

func (s *moody) enter() {
	if s.busy.Swap(true) {
		s.broken.Store(true)
	}
}

func (s *moody) TryWrite(b []byte) (int, error) {
	s.enter()
	defer s.busy.Store(false)
	s.mu.Lock()
	still := s.still
	s.mu.Unlock()
	if still != nil {
		<-still
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(b)
	if s.each > 0 {
		n = min(n, s.each)
	}
	if s.stuck != nil {
		n = min(n, s.room)
		s.room -= n
	}
	if s.lost != nil {
		return 0, s.lost
	}
	s.got = append(s.got, b[:n]...)
	return n, nil
}

func (s *moody) Write(b []byte) (int, error) {
	s.enter()
	defer s.busy.Store(false)
	s.mu.Lock()
	stuck := s.stuck
	s.writing = b
	s.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = nil
	if s.lost != nil {
		return 0, s.lost
	}
	s.got = append(s.got, b...)
	return len(b), nil
}

// sent returns what was written, and what a Write that waits will have written.
func (s *moody) sent() (got, writing []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.got), slices.Clip(s.writing)
}

// letGo opens a gate, which nobody needs any more then.
func (s *moody) letGo(gate *chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *gate != nil {
		close(*gate)
		*gate = nil
	}
}

// change is what an Update made, of which the client is not told yet.
type change struct {
	reason string
	since  map[string]uint64 // the topics, and where they were added
	head   uint64            // when Update returned: later events of other topics must not come
}

// wireClient is what the reader of the bytes of streams knows, over as many
// streams as it needs. It checks I1 to I5 with every line.
type wireClient struct {
	w       *world
	since   map[string]uint64
	changes []change
	pos     push.ID // up to here everything came
	gaps    []toldGap
	newest  map[[2]string]uint64
	begun   uint64
	read    int // bytes of the present connection that were read
}

func (c *wireClient) topics() (all []string) {
	for p := range c.since {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// wants reports whether an event is for a reader with these topics.
func wants(since map[string]uint64, e *push.Event) bool {
	for p, at := range since {
		if e.ID.Seq > at && push.Match(p, e.Topic) {
			return true
		}
	}
	return false
}

// readAll reads the whole lines that came.
func (c *wireClient) readAll(b []byte) error {
	for {
		i := bytes.IndexByte(b[c.read:], '\n')
		if i < 0 {
			return nil
		}
		line := string(b[c.read : c.read+i])
		c.read += i + 1
		if err := c.line(strings.Split(line, " ")); err != nil {
			return fmt.Errorf("%.80s: %w", line, err)
		}
	}
}

func (c *wireClient) line(f []string) error {
	if f[0] == "x" { // was injected
		return nil
	}
	id, err := push.ParseID(f[1])
	if err != nil {
		return err
	}
	switch f[0] {
	case "e":
		return c.event(id, f[2], strings.TrimSuffix(f[3], "."), f[4])
	case "g":
		return c.gap(id, f)
	case "u":
		if err := c.moveTo(id); err != nil {
			return err
		}
		return c.changed(f[2], strings.Split(f[3], ","))
	case "o", "n", "h":
		return c.moveTo(id)
	}
	return errors.New("an unknown line")
}

func (c *wireClient) event(id push.ID, topic, key, data string) error {
	known := c.w.log(id.Epoch).events
	if id.Epoch != c.pos.Epoch || id.Seq <= c.pos.Seq {
		return fmt.Errorf("I1/I2: after %v", c.pos)
	}
	if id.Seq > uint64(len(known)) {
		return errors.New("I6: was never published")
	}
	e := &known[id.Seq-1]
	if e.ID != id || e.Topic != topic || e.Key != key || string(e.Data) != data {
		return fmt.Errorf("I6: was published as %v %s", e.ID, e.Topic)
	}
	if !wants(c.since, e) {
		return fmt.Errorf("I8: to a reader of %v", c.since)
	}
	for _, ch := range c.changes {
		if id.Seq > ch.head && !wants(ch.since, e) {
			return fmt.Errorf("published after %d, when its topic had been removed: %v", ch.head, ch.since)
		}
	}
	c.newest[[2]string{topic, key}] = id.Seq
	before := id
	before.Seq--
	if err := c.complete(before.Seq); err != nil {
		return err
	}
	c.pos = id
	return nil
}

// moveTo takes the promise that all up to id was written.
func (c *wireClient) moveTo(id push.ID) error {
	if id.Epoch != c.pos.Epoch || id.Seq < c.pos.Seq {
		return fmt.Errorf("I5: the cursor moved back from %v", c.pos)
	}
	err := c.complete(id.Seq)
	c.pos = id
	return err
}

func (c *wireClient) complete(upto uint64) error {
	known := c.w.log(c.pos.Epoch).events
	for seq := c.pos.Seq + 1; seq <= upto && seq <= uint64(len(known)); seq++ {
		e := &known[seq-1]
		if isEphemeral(e.Topic) || isLatest(e.Topic) || !wants(c.since, e) {
			continue
		}
		if !slices.ContainsFunc(c.gaps, func(g toldGap) bool { return covers(g.Gap, e.ID) && matchesAny(g.topics, e.Topic) }) {
			return fmt.Errorf("I3/I4: event %d of %s was passed over in silence from %d to %d by a reader of %v", seq, e.Topic, c.pos.Seq, upto, c.since)
		}
	}
	return nil
}

func (c *wireClient) gap(at push.ID, f []string) error {
	from, err1 := push.ParseID(f[2])
	to, err2 := push.ParseID(f[3])
	topics := slices.Sorted(slices.Values(strings.Split(f[5], ",")))
	if err1 != nil || err2 != nil || !slices.Equal(topics, c.topics()) {
		return fmt.Errorf("gap of %q to a reader of %q, %v, %v", topics, c.topics(), err1, err2)
	}
	if from.Epoch != c.pos.Epoch || from.Seq < c.pos.Seq || to.Seq <= from.Seq {
		return fmt.Errorf("I4: does not begin at the cursor %v", c.pos)
	}
	g := push.Gap{From: from, To: to}
	c.gaps = append(c.gaps, toldGap{g, topics})
	l := c.w.log(to.Epoch)
	gone := func(e push.Event) bool {
		return covers(g, e.ID) && !isEphemeral(e.Topic) && matchesAny(topics, e.Topic) && !l.kept[e.ID.Seq]
	}
	if to.Seq > l.floor && !slices.ContainsFunc(l.events, gone) {
		return fmt.Errorf("I4: covers nothing that is gone; floor %d", l.floor)
	}
	return c.moveTo(at)
}

// changed takes the news of an Update, and of those before it.
func (c *wireClient) changed(reason string, topics []string) error {
	i := slices.IndexFunc(c.changes, func(ch change) bool { return ch.reason == reason })
	if i < 0 {
		return errors.New("told twice, or of a change that nobody made")
	}
	c.since, c.changes = c.changes[i].since, c.changes[i+1:]
	if slices.Sort(topics); strings.Join(topics, ",") != strings.Join(c.topics(), ",") {
		return fmt.Errorf("topics are %q", c.topics())
	}
	c.begun = c.pos.Seq
	return nil
}

// hasNewest checks the promise of the policy Latest to a reader at the head.
func (c *wireClient) hasNewest() error {
	l := c.w.log(c.pos.Epoch)
	for _, e := range l.events {
		k := [2]string{e.Topic, e.Key}
		if isLatest(e.Topic) && wants(c.since, &e) && e.ID.Seq > c.begun && l.kept[e.ID.Seq] && c.newest[k] < e.ID.Seq &&
			!slices.ContainsFunc(l.events[e.ID.Seq:], func(later push.Event) bool { return later.Topic == e.Topic && later.Key == e.Key }) {
			return fmt.Errorf("policy Latest: event %d of %q was not delivered", e.ID.Seq, k)
		}
	}
	return nil
}

// lease is when a stream's credentials run out, from a time on.
type lease struct{ set, until time.Time }

// mayCarry reports whether a stream that had these leases may carry what was
// published at a time: one of those that held then or later covers it.
func mayCarry(leases []lease, published time.Time) bool {
	for i, l := range leases {
		held := i+1 == len(leases) || leases[i+1].set.After(published) || leases[i+1].set.Equal(published)
		if held && (l.until.IsZero() || published.Before(l.until)) {
			return true
		}
	}
	return false
}
