package push_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

// world is what the test knows to be true of a broker's log: every event that
// was acknowledged, by epoch, and which of them are still retained.
type world struct {
	logs map[uint64]*worldLog
	last uint64 // the epoch that holds now
}

type worldLog struct {
	events []push.Event // ascending
	kept   map[uint64]bool
	floor  uint64 // above it, gaps must be exact
	looked uint64 // the head at the last look
}

func newWorld() *world { return &world{logs: map[uint64]*worldLog{}} }

func (w *world) log(epoch uint64) *worldLog {
	if w.logs[epoch] == nil {
		w.logs[epoch] = &worldLog{kept: map[uint64]bool{}}
	}
	return w.logs[epoch]
}

// published records an acknowledged event.
func (w *world) published(e push.Event, id push.ID) {
	l := w.log(id.Epoch)
	if n := len(l.events); n > 0 && l.events[n-1].ID.Seq >= id.Seq {
		return // the same idempotency key
	}
	e.ID = id
	l.events = append(l.events, e)
}

// look records what b retains. A topic that lost all its events since the last
// look may have left no evidence but the floor.
func (w *world) look(b *push.Memory) error {
	head, err := b.Head(context.Background())
	if err != nil {
		return err
	}
	if w.last != 0 && w.last != head.Epoch {
		clear(w.log(w.last).kept)
	}
	w.last = head.Epoch
	l := w.log(head.Epoch)
	p, err := b.History(context.Background(), push.Query{Topics: []string{"**"}, Limit: 1 << 20})
	if err != nil {
		return err
	}
	clear(l.kept)
	oldest := map[string]uint64{}
	for _, e := range p.Events {
		l.kept[e.ID.Seq] = true
		if oldest[e.Topic] == 0 {
			oldest[e.Topic] = e.ID.Seq
		}
	}
	for _, e := range l.events {
		neverEmpty := oldest[e.Topic] > 0 && oldest[e.Topic] <= l.looked
		if !neverEmpty && !l.kept[e.ID.Seq] && !isEphemeral(e.Topic) {
			l.floor = max(l.floor, e.ID.Seq)
		}
	}
	l.looked = head.Seq
	return nil
}

func isEphemeral(topic string) bool { return strings.HasPrefix(topic, "eph/") }
func isLatest(pattern string) bool  { return strings.HasPrefix(pattern, "latest/") }

func matchesAny(topics []string, topic string) bool {
	return slices.ContainsFunc(topics, func(p string) bool { return push.Match(p, topic) })
}

// mustSee reports whether every reader of topics must see or be told of e.
func mustSee(topics []string, e *push.Event) bool {
	return !isEphemeral(e.Topic) && !isLatest(e.Topic) && matchesAny(topics, e.Topic)
}

// client is what the holder of a cursor knows, over as many subscriptions as
// it needs; it checks I1 to I5 with every batch.
type client struct {
	w      *world
	topics []string
	pos    push.ID
	sound  bool   // pos came from the library
	forged bool   // pos is of no log: that must be told first
	born   uint64 // the head when the connection was made; ephemeral events up to it are not for it
	fresh  bool   // it starts at the oldest event and has had nothing yet
	gaps   []toldGap
	seen   map[push.ID]bool
	left   map[uint64]bool      // epochs that were left
	newest map[[2]string]uint64 // by topic and key
	since  uint64               // topics were changed there last
}

// toldGap is a gap with the topics that it speaks for.
type toldGap struct {
	push.Gap
	topics []string
}

func newClient(w *world, topics []string) *client {
	return &client{
		w: w, topics: topics, seen: map[push.ID]bool{}, left: map[uint64]bool{}, newest: map[[2]string]uint64{},
	}
}

// receive takes a batch of which the first n events arrived.
func (c *client) receive(b push.Batch, n int) error {
	start := c.pos
	if c.forged && b.Controls == nil && (b.Gap == nil || b.Gap.Reason != push.ReasonEpoch) {
		return fmt.Errorf("a forged cursor was taken: gap %v", b.Gap)
	}
	if b.Gap != nil {
		if err := c.gap(b); err != nil {
			return err
		}
		start = c.pos
	}
	if b.From.Epoch == start.Epoch && b.From.Seq < start.Seq {
		return fmt.Errorf("I5: the cursor moved back from %v to From %v", start, b.From)
	}
	upto := b.Upto
	if n < len(b.Messages) { // the connection broke
		upto = b.From
		if n > 0 {
			upto = b.Messages[n-1].ID
		}
	}
	before := start.Seq
	for _, m := range b.Messages[:n] {
		if err := c.event(&m.Event, before); err != nil {
			return err
		}
		before = m.ID.Seq
	}
	return c.moveTo(upto)
}

func (c *client) event(e *push.Event, before uint64) error {
	switch {
	case e.ID.Epoch != c.pos.Epoch:
		return fmt.Errorf("I1: event %v of another epoch than the cursor %v, without a gap", e.ID, c.pos)
	case e.ID.Seq <= before:
		return fmt.Errorf("I1: event %v after sequence %d", e.ID, before)
	case c.seen[e.ID]:
		return fmt.Errorf("I2: event %v twice", e.ID)
	case isEphemeral(e.Topic) && e.ID.Seq <= c.born:
		return fmt.Errorf("the ephemeral event %v was replayed to a reader that came at %d", e.ID, c.born)
	case !matchesAny(c.topics, e.Topic):
		return fmt.Errorf("I8: event of %q to a reader of %q", e.Topic, c.topics)
	}
	known := c.w.log(e.ID.Epoch).events
	i := slices.IndexFunc(known, func(k push.Event) bool { return k.ID == e.ID })
	if i < 0 || known[i].Topic != e.Topic || string(known[i].Data) != string(e.Data) {
		return fmt.Errorf("I6: event %v %s %q was never published", e.ID, e.Topic, e.Data)
	}
	if c.fresh { // what was removed before the oldest event is no hole
		c.fresh, c.pos = false, push.ID{Epoch: e.ID.Epoch, Seq: e.ID.Seq - 1}
	}
	c.seen[e.ID] = true
	c.newest[[2]string{e.Topic, e.Key}] = e.ID.Seq
	return nil
}

// moveTo checks I3: the library vouches for everything up to id.
func (c *client) moveTo(id push.ID) error {
	if id.Epoch == c.pos.Epoch && id.Seq < c.pos.Seq {
		return fmt.Errorf("I5: the cursor moved back from %v to %v", c.pos, id)
	}
	if id.Epoch != c.pos.Epoch {
		return fmt.Errorf("I1: the cursor went from %v to another epoch, %v, without a gap", c.pos, id)
	}
	if err := c.complete(c.pos.Seq, id); err != nil {
		return err
	}
	c.fresh = c.fresh && id == c.pos
	c.pos, c.sound = id, c.sound || id != c.pos
	return nil
}

func (c *client) complete(after uint64, upto push.ID) error {
	l := c.w.log(upto.Epoch)
	for _, e := range l.events {
		if e.ID.Seq <= after || e.ID.Seq > upto.Seq || c.seen[e.ID] || !mustSee(c.topics, &e) ||
			c.fresh && !l.kept[e.ID.Seq] {
			continue
		}
		if !slices.ContainsFunc(c.gaps, func(g toldGap) bool { return covers(g.Gap, e.ID) && matchesAny(g.topics, e.Topic) }) {
			return fmt.Errorf("I3/I4: event %v of %s was neither delivered nor told as a gap; cursor %v → %v, gaps %v",
				e.ID, e.Topic, c.pos, upto, c.gaps)
		}
	}
	return nil
}

func covers(g push.Gap, id push.ID) bool {
	if g.To.Epoch != id.Epoch || id.Seq > g.To.Seq {
		return false
	}
	return g.Reason == push.ReasonEpoch || id.Seq > g.From.Seq
}

func (c *client) gap(b push.Batch) error {
	g := *b.Gap
	if !slices.Equal(b.Topics, c.topics) {
		return fmt.Errorf("gap of %q, subscribed are %q", b.Topics, c.topics)
	}
	c.gaps = append(c.gaps, toldGap{g, slices.Clone(b.Topics)})
	if g.Reason == push.ReasonEpoch {
		return c.epochGap(g)
	}
	if g.From.Epoch != c.pos.Epoch || g.From.Seq < c.pos.Seq || g.To.Seq <= g.From.Seq {
		return fmt.Errorf("I4: gap %v does not begin at the cursor %v", g, c.pos)
	}
	l := c.w.log(g.To.Epoch)
	if g.To.Seq <= l.floor {
		return nil
	}
	for _, e := range l.events {
		if covers(g, e.ID) && matchesAny(c.topics, e.Topic) && !isEphemeral(e.Topic) && !l.kept[e.ID.Seq] {
			return nil
		}
	}
	return fmt.Errorf("I4: gap %v of %q covers nothing that is gone; floor %d", g, c.topics, l.floor)
}

func (c *client) epochGap(g push.Gap) error {
	if c.sound && g.From.Epoch == g.To.Epoch {
		return fmt.Errorf("gap %v: a cursor that the library gave out is called foreign", g)
	}
	if c.left[g.To.Epoch] {
		return fmt.Errorf("I1: epoch %d came back", g.To.Epoch)
	}
	if g.From.Epoch != g.To.Epoch {
		c.left[g.From.Epoch] = true
	} else { // the cursor was forged: what it saw is the past of nobody
		c.seen = map[push.ID]bool{}
	}
	c.pos, c.fresh, c.forged, c.since = push.ID{Epoch: g.To.Epoch}, false, false, 0
	return nil
}

// show prints a batch for people.
func show(b push.Batch) string {
	var s strings.Builder
	fmt.Fprintf(&s, "batch from %d to %d:", b.From.Seq, b.Upto.Seq)
	for _, c := range b.Controls {
		fmt.Fprintf(&s, " %s", c.Name)
	}
	if b.Gap != nil {
		fmt.Fprintf(&s, " gap %s (%d,%d]", b.Gap.Reason, b.Gap.From.Seq, b.Gap.To.Seq)
	}
	for _, m := range b.Messages {
		fmt.Fprintf(&s, " %d:%s=%q", m.ID.Seq, m.Topic, m.Data)
	}
	return s.String()
}

// change changes the topics as Subscription.Update does.
func (c *client) change(add, remove []string) {
	c.topics = slices.DeleteFunc(slices.Clone(c.topics), func(t string) bool { return slices.Contains(remove, t) })
	for _, t := range add {
		if !slices.Contains(c.topics, t) {
			c.topics = append(c.topics, t)
		}
	}
	c.since = c.pos.Seq
}

// atHead checks I10: after pos there is nothing but ephemeral events, which a
// feed need not deliver.
func (c *client) atHead(pos push.ID) error {
	if pos.Epoch != c.w.last {
		return fmt.Errorf("I10: a reader of %q is at %v, of another epoch than the log", c.topics, pos)
	}
	for _, e := range c.w.log(pos.Epoch).events {
		if e.ID.Seq > pos.Seq && !isEphemeral(e.Topic) {
			return fmt.Errorf("I10: a reader of %q is at %v, the log goes on with %v of %s", c.topics, pos, e.ID, e.Topic)
		}
	}
	return nil
}

// hasNewest checks the promise of the policy Latest to a reader at the head:
// it has the newest event of each key since it had these topics.
func (c *client) hasNewest() error {
	l := c.w.log(c.pos.Epoch)
	newest := map[[2]string]push.Event{}
	for _, e := range l.events {
		if matchesAny(c.topics, e.Topic) && strings.HasPrefix(e.Topic, "latest/") {
			newest[[2]string{e.Topic, e.Key}] = e
		}
	}
	for k, e := range newest {
		if l.kept[e.ID.Seq] && e.ID.Seq > c.since && !c.seen[e.ID] {
			return fmt.Errorf("policy Latest: the newest event of %q, %v, was not delivered; newest that was: %d", k, e.ID, c.newest[k])
		}
	}
	return nil
}
