package push_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/push"
)

// What the model plays with. The first part of a topic says its rule.
var (
	modelTopics = []string{
		"count/a", "count/b", "bytes/a", "age/a", "age/b", "eph/a", "latest/a", "latest/b", "slow/a", "quiet",
	}
	modelPatterns = []string{
		"count/a", "count/b", "bytes/a", "age/a", "eph/a", "latest/a", "latest/*", "slow/a", "quiet",
		"count/*", "age/**", "*/a", "**", "nobody/*", "nobody",
	}
	modelRules = []push.Rule{
		{Pattern: "count/*", Retention: push.Retention{Count: 3}},
		{Pattern: "bytes/*", Retention: push.Retention{Bytes: 1000}},
		{Pattern: "age/*", Retention: push.Retention{Age: 10 * time.Second}},
		{Pattern: "eph/*", Retention: push.Retention{Ephemeral: true}},
		{Pattern: "latest/*", Retention: push.Retention{Count: 20}},
		{Pattern: "slow/*", Retention: push.Retention{Count: 2}},
	}
)

const modelMaxBytes = 8 << 10

// I1 to I10 hold for any history: several topics and patterns, every kind of
// retention, slow readers, resumes from any position and with any cursor,
// changes of topics, and over a window also with a broker that is down, lags,
// trims what the hub has not seen, or loses its log.
func TestInvariantsHoldForAnyHistory(t *testing.T) {
	for _, window := range []bool{false, true} {
		t.Run(fmt.Sprintf("window=%v", window), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				rapid.SyncTest(rt, func(rt *rapid.T) { runModel(rt, window) })
			})
		})
	}
}

type model struct {
	*rapid.T
	window bool
	w      *world
	b      *faultBroker
	hub    *push.Hub
	conns  []*conn
	idem   map[[2]string]idemRecord
	serial int
}

type idemRecord struct {
	id push.ID
	at time.Time
}

func runModel(rt *rapid.T, window bool) {
	m := &model{T: rt, window: window, w: newWorld(), idem: map[[2]string]idemRecord{}}
	m.b = newFaultBroker(push.Rules(modelRules...), push.MaxBytes(modelMaxBytes))
	opts := []push.HubOption{
		push.WithPolicy("latest/**", push.Latest), push.WithPolicy("slow/*", push.Disconnect), push.WithWindow(4, 4<<10),
	}
	var b push.Broker = m.b.memory()
	if window {
		b = m.b
	}
	m.hub = push.NewHub(b, opts...)
	defer kill(m.hub)
	for range 3 {
		c := &conn{hub: m.hub}
		m.conns = append(m.conns, c)
		defer func() { _ = c.cut(-1) }()
	}
	synctest.Wait()
	for range rapid.IntRange(1, 60).Draw(rt, "steps") {
		m.step()
		synctest.Wait()
		m.check(m.w.look(m.b.memory()))
		for _, c := range m.conns {
			m.check(c.take())
		}
		m.bounded()
		m.check(m.hub.CheckLog())
		m.check(m.b.memory().CheckLog())
	}
	m.settle()
}

func (m *model) check(err error) {
	if err != nil {
		m.Helper()
		m.Fatal(err)
	}
}

// actions are repeated to make them more likely.
func (m *model) step() {
	actions := []string{
		"publish", "publish", "publish", "same again", "read", "read", "read", "resume", "start", "update", "purge", "sleep",
	}
	if m.window {
		actions = append(actions, "lose the log", "break the feed", "stall", "stall", "down")
	}
	switch rapid.SampledFrom(actions).Draw(m.T, "action") {
	case "publish":
		m.publish()
	case "same again":
		m.publishIdem()
	case "read":
		m.read()
	case "resume":
		m.resume()
	case "start":
		m.start()
	case "update":
		m.update()
	case "purge":
		m.purge()
	case "sleep":
		m.sleep()
	case "lose the log":
		m.b.lose()
	case "break the feed":
		m.b.breakTails(errDown)
	case "stall":
		m.b.hold(rapid.Bool().Draw(m.T, "stalled"))
	case "down":
		m.b.setDown(rapid.Bool().Draw(m.T, "is down"))
	}
}

func (m *model) conn() *conn { return m.conns[rapid.IntRange(0, len(m.conns)-1).Draw(m.T, "reader")] }

func (m *model) event() push.Event {
	m.serial++
	size := rapid.IntRange(1, 400).Draw(m.T, "size")
	return push.Event{
		Topic: rapid.SampledFrom(modelTopics).Draw(m.T, "topic"),
		Key:   rapid.SampledFrom([]string{"", "k"}).Draw(m.T, "key"),
		Data:  fmt.Appendf(nil, "%0*d", size, m.serial),
	}
}

// publish publishes up to ten events in one call.
func (m *model) publish() {
	events := make([]push.Event, rapid.IntRange(1, 10).Draw(m.T, "events"))
	for i := range events {
		events[i] = m.event()
	}
	ids, err := m.hub.Publish(context.Background(), events...)
	if errors.Is(err, errDown) {
		return
	}
	m.check(err)
	for i, id := range ids {
		m.w.published(events[i], id)
	}
}

func (m *model) publishIdem() {
	e := m.event()
	e.Idem = rapid.SampledFrom([]string{"x", "y"}).Draw(m.T, "idem")
	ids, err := m.hub.Publish(context.Background(), e)
	if errors.Is(err, errDown) {
		return
	}
	m.check(err)
	k := [2]string{e.Topic, e.Idem}
	old, known := m.idem[k]
	known = known && old.id.Epoch == ids[0].Epoch && time.Since(old.at) < push.IdemWindow
	if known != (ids[0] == old.id) {
		m.Fatalf("event %v with the key of %v, published %v ago", ids[0], old.id, time.Since(old.at))
	}
	if !known {
		m.idem[k] = idemRecord{ids[0], time.Now()}
		m.w.published(e, ids[0])
	}
}

func (m *model) read() {
	c := m.conn()
	if c.sub == nil {
		return
	}
	if c.ended != nil {
		m.reopen(c)
		return
	}
	m.check(c.read())
}

// reopen is what a client does whose stream was ended: it comes back.
func (m *model) reopen(c *conn) {
	var end *push.CloseError
	if !errors.As(c.ended, &end) || end.Code != push.CloseOverload {
		m.Fatalf("the stream ended with %v", c.ended)
	}
	if !slices.ContainsFunc(c.topics, func(p string) bool { return push.Covers("slow/*", p) }) {
		m.Fatalf("a reader of %q was disconnected: %v", c.topics, end)
	}
	m.check(c.cut(1 << 30))
	m.open(c, push.After(c.pos))
}

func (m *model) open(c *conn, from push.Start) {
	if err := c.open(from); err != nil && !(m.window && errors.Is(err, push.ErrNotReady)) {
		m.Fatal(err)
	}
	if !m.window { // a window cannot tell which events are ephemeral
		head, _ := m.hub.Head(context.Background())
		c.born = head.Seq
	}
}

// resume cuts a connection and comes back with what arrived.
func (m *model) resume() {
	c := m.conn()
	if c.client == nil {
		return
	}
	arrived := rapid.SampledFrom([]int{-1, 0, 1, 3, 1 << 30}).Draw(m.T, "arrived")
	if c.sub != nil && c.inflight == nil && c.next == nil {
		m.check(c.moveTo(c.sub.Position()))
	}
	m.check(c.cut(arrived))
	m.open(c, push.After(c.pos))
}

// start replaces a client by a new one.
func (m *model) start() {
	c := m.conn()
	m.check(c.cut(-1))
	c.client = newClient(m.w, m.topics())
	from := m.from(c)
	m.open(c, from)
}

func (m *model) topics() []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(modelPatterns), 0, 4, rapid.ID).Draw(m.T, "topics")
}

func (m *model) from(c *conn) push.Start {
	kind := rapid.SampledFrom([]string{"head", "oldest", "last", "junk", "foreign", "beyond", "check", "known"}).Draw(m.T, "from")
	head, _ := m.b.memory().Head(context.Background())
	switch kind {
	case "oldest":
		return push.FromOldest()
	case "last":
		return push.Last(rapid.IntRange(1, 5).Draw(m.T, "n"))
	case "junk":
		c.forged = true
		return push.AfterCursor("junk")
	case "foreign":
		c.pos, c.forged = push.ID{Epoch: 42, Seq: 1}, true
	case "beyond":
		c.pos, c.forged = push.ID{Epoch: head.Epoch, Seq: head.Seq + 100, Check: 77}, true
	case "check":
		c.pos, c.forged = push.ID{Epoch: head.Epoch, Seq: head.Seq, Check: head.Check ^ 2}, true
	case "known":
		events := m.w.log(head.Epoch).events
		if len(events) == 0 {
			return push.FromHead()
		}
		c.pos, c.sound = events[rapid.IntRange(0, len(events)-1).Draw(m.T, "event")].ID, true
		c.since = c.pos.Seq
	default:
		return push.FromHead()
	}
	return push.After(c.pos)
}

func (m *model) update() {
	c := m.conn()
	if c.sub == nil || c.ended != nil {
		return
	}
	m.check(c.land(1 << 30))
	add, remove := m.topics(), m.topics()
	id, err := c.sub.Update(add, remove, "because")
	m.check(err)
	m.check(c.moveTo(id))
	c.change(add, remove)
	if got := c.sub.Topics(); !slices.Equal(got, c.topics) {
		m.Fatalf("topics are %q, want %q", got, c.topics)
	}
}

func (m *model) purge() {
	topic := rapid.SampledFrom(modelTopics).Draw(m.T, "topic")
	m.check(m.b.memory().Purge(context.Background(), topic))
}

func (m *model) sleep() {
	time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, 11 * time.Second, 6 * time.Minute}).Draw(m.T, "time"))
}

// bounded checks I9: no topic and not the log retain more than their rules say.
func (m *model) bounded() {
	l, total := m.w.log(m.w.last), 0
	count, bytes := map[string]int{}, map[string]int{}
	for _, e := range l.events {
		if !l.kept[e.ID.Seq] {
			continue
		}
		count[e.Topic]++
		bytes[e.Topic] += len(e.Data) + 256
		total += len(e.Data) + 256
	}
	for topic, n := range count {
		switch {
		case push.Match("count/*", topic) && n > 3, push.Match("slow/*", topic) && n > 2,
			push.Match("bytes/*", topic) && n > 1 && bytes[topic] > 1000, total > modelMaxBytes:
			m.Fatalf("I9: %d events, %d bytes of %s are retained, %d bytes in all", n, bytes[topic], topic, total)
		}
	}
}

// settle lets all faults stop. Then every reader reaches the head (I10).
func (m *model) settle() {
	m.Log("settle")
	m.b.hold(false)
	m.b.setDown(false)
	time.Sleep(8 * time.Second)
	synctest.Wait()
	m.check(m.w.look(m.b.memory()))
	for _, c := range m.conns {
		if c.client == nil {
			continue
		}
		m.check(c.take())
		if c.sub == nil {
			m.open(c, push.After(c.pos))
		}
		for m.check(c.readAll()); c.ended != nil; m.check(c.readAll()) {
			m.reopen(c)
		}
		m.check(c.atHead(c.sub.Position()))
		m.check(c.hasNewest())
	}
}
