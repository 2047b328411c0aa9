package push_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/push"
)

// What the model of streams plays with. Few topics, so that cohorts form.
var (
	crowdTopics   = []string{"many/a", "many/a", "many/b", "count/a", "eph/a", "slow/a", "latest/a"}
	crowdAlone    = []string{"many/a", "many/a", "many/*", "count/a", "slow/a", "eph/a", "latest/a", "**"}
	crowdPatterns = []string{"many/a", "many/b", "many/*", "count/*", "eph/a", "slow/a", "latest/*", "**", "nobody"}
	crowdRules    = []push.Rule{
		{Pattern: "many/*", Retention: push.Retention{Count: 400}},
		{Pattern: "count/*", Retention: push.Retention{Count: 3}},
		{Pattern: "eph/*", Retention: push.Retention{Ephemeral: true}},
		{Pattern: "slow/*", Retention: push.Retention{Count: 20}},
	}
)

// I1 to I5 and I10 hold for any number of streams that wait together or alone,
// whatever their connections do, and whatever is done to them meanwhile.
func TestInvariantsHoldForAnyStreams(t *testing.T) {
	for _, window := range []bool{false, true} {
		t.Run(fmt.Sprintf("window=%v", window), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				rapid.SyncTest(rt, func(rt *rapid.T) { runCrowd(rt, window) })
			})
		})
	}
}

type crowdModel struct {
	*rapid.T
	window  bool
	w       *world
	b       *push.Memory
	hub     *push.Hub
	members []*member
	times   []time.Time // when each event was published
	serial  int
}

// member is a client with its present stream.
type member struct {
	wireClient
	form   parsed
	sock   *moody
	sub    *push.Subscription
	st     *push.Stream
	leases []lease
	ended  chan error
	why    error // it has ended
	ending []int // the codes that it was told to end with, any of which may be why it does; -1: closed
}

func runCrowd(rt *rapid.T, window bool) {
	m := &crowdModel{T: rt, window: window, w: newWorld()}
	m.b = push.NewMemory(append([]push.MemoryOption{push.MaxBytes(1 << 20)}, push.Rules(crowdRules...))...)
	opts := []push.HubOption{push.WithPolicy("latest/**", push.Latest), push.WithPolicy("slow/*", push.Disconnect), push.WithWindow(20, 1<<18)}
	var b push.Broker = m.b
	if window {
		b = struct{ push.Broker }{m.b}
	}
	m.hub = push.NewHub(b, opts...)
	defer m.shutdown()
	synctest.Wait()
	n := rapid.SampledFrom([]int{3, 4, 5, 6, 6, 6, 6, 72}).Draw(rt, "streams")
	for i := range n {
		m.members = append(m.members, m.newMember(n > 6 && i > 6))
	}
	for range rapid.IntRange(1, 25).Draw(rt, "steps") {
		synctest.Wait()
		m.look()
		m.step()
	}
	m.settle()
}

func (m *crowdModel) check(err error) {
	if err != nil {
		m.Helper()
		m.Fatal(err)
	}
}

// newMember returns one of a kind, or one of a crowd, which is more than a turn on
// each shard.
func (m *crowdModel) newMember(alike bool) *member {
	c := &member{form: parsedForms[0]}
	c.w, c.newest = m.w, map[[2]string]uint64{}
	c.pos, _ = m.b.Head(context.Background())
	c.since = map[string]uint64{}
	if alike {
		c.since["many/a"] = 0
		m.open(c)
		return c
	}
	c.form = rapid.SampledFrom(parsedForms).Draw(m.T, "form")
	if rapid.IntRange(0, 3).Draw(m.T, "several") > 0 {
		c.since[rapid.SampledFrom(crowdAlone).Draw(m.T, "topic")] = 0
	} else {
		for _, p := range m.topics() {
			c.since[p] = 0
		}
	}
	m.open(c)
	return c
}

// open has a client come back with its cursor.
func (m *crowdModel) open(c *member) {
	var opts []push.SubscribeOption
	c.leases = []lease{{set: time.Now()}}
	if rapid.Bool().Draw(m.T, "heartbeats") {
		opts = append(opts, push.WithHeartbeat(25*time.Second))
	}
	for p := range c.since {
		c.since[p] = 0
	}
	sub, err := m.hub.Subscribe(context.Background(), c.topics(), push.After(c.pos), opts...)
	m.check(err)
	c.sock = &moody{each: rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 30, 1000}).Draw(m.T, "each")}
	c.sub, c.ended, c.read, c.why, c.ending, c.changes, c.begun = sub, make(chan error, 2), 0, nil, nil, nil, c.pos.Seq
	ended := c.ended
	c.st = sub.NewStream(c.sock, c.form, func(err error) { sub.Close(); ended <- err })
	c.st.Start()
}

func (m *crowdModel) topics() []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(crowdPatterns), 0, 3, rapid.ID).Draw(m.T, "topics")
}

func (m *crowdModel) step() {
	c := m.members[rapid.IntRange(0, len(m.members)-1).Draw(m.T, "stream")]
	switch rapid.SampledFrom([]string{
		"publish", "publish", "publish", "publish", "burst", "huge", "go on", "purge", "sleep", "reopen",
		"befall", "befall", "befall", "befall", "befall", "befall", "befall",
	}).Draw(m.T, "action") {
	case "publish":
		m.publish(rapid.IntRange(1, 5).Draw(m.T, "events"), rapid.IntRange(1, 100).Draw(m.T, "size"))
	case "burst":
		m.publish(rapid.IntRange(250, 300).Draw(m.T, "events"), 1)
	case "huge":
		m.publish(rapid.IntRange(1, 3).Draw(m.T, "events"), 70_000)
	case "sleep":
		time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 23 * time.Second, time.Minute}).Draw(m.T, "time"))
	case "purge":
		m.check(m.b.Purge(context.Background(), rapid.SampledFrom(crowdTopics).Draw(m.T, "topic")))
	case "reopen":
		for _, c := range m.members {
			if c.why != nil {
				m.open(c)
			}
		}
	case "go on":
		for _, c := range m.members {
			c.sock.letGo(&c.sock.still)
		}
	default:
		if c.why == nil {
			m.befall(c)
		}
	}
}

// befall has something happen to one stream, or its connection.
func (m *crowdModel) befall(c *member) {
	switch rapid.SampledFrom([]string{
		"each", "stick", "stick", "release", "still", "still", "lose", "update", "update", "update", "notify", "inject", "disconnect", "lease", "lease", "close",
	}).Draw(m.T, "what") {
	case "each": // drawn before the lock: a draw may panic, as it does to make a failure smaller
		each := rapid.IntRange(0, 200).Draw(m.T, "each")
		c.sock.mu.Lock()
		c.sock.each = each
		c.sock.mu.Unlock()
	case "stick":
		room := rapid.IntRange(0, 300).Draw(m.T, "room")
		c.sock.letGo(&c.sock.stuck)
		c.sock.mu.Lock()
		c.sock.stuck, c.sock.room = make(chan struct{}), room
		c.sock.mu.Unlock()
	case "release":
		c.sock.letGo(&c.sock.stuck)
	case "still":
		c.sock.mu.Lock()
		if c.sock.still == nil {
			c.sock.still = make(chan struct{})
		}
		c.sock.mu.Unlock()
	case "lose":
		m.lose(c)
	case "update":
		m.update(c)
	case "notify":
		c.sub.Notify(push.Control{Name: "push.expiring"})
	case "inject":
		c.st.Inject([]byte("x pong\n"), false)
	case "disconnect":
		c.ending = append(c.ending, push.CloseForbidden)
		c.sub.Disconnect(&push.CloseError{Code: push.CloseForbidden})
	case "lease":
		m.lease(c)
	case "close":
		c.ending = append(c.ending, -1)
		c.sub.Close()
	}
}

func (m *crowdModel) lose(c *member) {
	why := errors.New("lost")
	c.sock.mu.Lock()
	c.sock.lost = why
	c.sock.mu.Unlock()
	c.sock.letGo(&c.sock.stuck)
	c.sock.letGo(&c.sock.still)
	if rapid.Bool().Draw(m.T, "noticed") {
		c.st.Gone(why)
	}
}

func (m *crowdModel) update(c *member) {
	last := c.since
	if n := len(c.changes); n > 0 {
		last = c.changes[n-1].since
	}
	add, remove := m.topics(), m.topics()
	m.serial++
	ch := change{reason: fmt.Sprint("because", m.serial), since: maps.Clone(last)}
	id, err := c.sub.Update(add, remove, ch.reason)
	if errors.Is(err, push.ErrClosed) && slices.Contains(c.ending, -1) {
		return
	}
	m.check(err)
	for _, t := range remove {
		delete(ch.since, t)
	}
	for _, t := range add {
		if _, had := ch.since[t]; !had {
			ch.since[t] = id.Seq
		}
	}
	head, _ := m.b.Head(context.Background())
	ch.head = head.Seq
	c.changes = append(c.changes, ch)
}

func (m *crowdModel) lease(c *member) {
	l := lease{set: time.Now()}
	if d := rapid.SampledFrom([]time.Duration{0, 1, time.Second, 30 * time.Second, time.Hour}).Draw(m.T, "for"); d > 0 {
		l.until = l.set.Add(d)
	}
	c.sub.SetExpiry(l.until)
	c.leases = append(c.leases, l)
}

func (m *crowdModel) publish(n, size int) {
	topic := rapid.SampledFrom(crowdTopics).Draw(m.T, "topic")
	mixed := n < 100 && rapid.Bool().Draw(m.T, "mixed")
	events := make([]push.Event, n)
	for i := range events {
		m.serial++
		if mixed {
			topic = rapid.SampledFrom(crowdTopics).Draw(m.T, "topic")
		}
		events[i] = push.Event{Topic: topic, Key: []string{"", "k"}[m.serial%2], Data: fmt.Appendf(nil, "%0*d", size, m.serial)}
	}
	ids, err := m.hub.Publish(context.Background(), events...)
	m.check(err)
	for i, id := range ids {
		m.w.published(events[i], id)
		m.times = append(m.times, time.Now())
	}
}

// look reads what came, and checks where everybody is.
func (m *crowdModel) look() {
	m.check(m.w.look(m.b))
	m.check(m.hub.CheckLog())
	standing := slices.ContainsFunc(m.members, func(c *member) bool { return c.why == nil && c.sock.still != nil })
	for _, c := range m.members {
		if c.why == nil {
			m.lookAt(c, standing)
		}
	}
}

func (m *crowdModel) lookAt(c *member, standing bool) {
	before := c.pos.Seq
	got, writing := c.sock.sent()
	m.check(c.readAll(got))
	if c.sock.broken.Load() {
		m.Fatal("two wrote at a time")
	}
	for seq := before + 1; seq <= c.pos.Seq; seq++ {
		e := &m.w.log(c.pos.Epoch).events[seq-1]
		if c.newest[[2]string{e.Topic, e.Key}] == seq && !mayCarry(c.leases, m.times[seq-1]) {
			m.Fatalf("event %d was published at %v, when the credentials had run out: %v", seq, m.times[seq-1], c.leases)
		}
	}
	select {
	case c.why = <-c.ended:
		m.over(c)
		return
	default:
	}
	at := c.sub.Position()
	if at.Epoch != c.pos.Epoch || at.Seq < c.pos.Seq {
		m.Fatalf("the position is %v, written was up to %v", at, c.pos)
	}
	if !standing && len(c.changes) == 0 { // then nothing is on its way but what a Write has
		then := c.wireClient
		then.gaps, then.newest = slices.Clone(c.gaps), maps.Clone(c.newest)
		m.check(then.readAll(append(got, writing...)))
		if err := then.complete(at.Seq); err != nil {
			m.Fatalf("the position is beyond what was handed out: %v", err)
		}
		if c.ending != nil && writing == nil {
			m.Fatalf("a stream that was told to end with %d goes on", c.ending)
		}
	}
}

// over checks why a stream has ended.
func (m *crowdModel) over(c *member) {
	end, told := errors.AsType[*push.CloseError](c.why)
	if b, _ := c.sock.sent(); told && len(b) > 0 && b[len(b)-1] != '\n' {
		m.Fatalf("it ends in the middle of a frame, with %v", c.why)
	}
	slow := func(since map[string]uint64) bool { _, ok := since["slow/a"]; return ok }
	last := c.leases[len(c.leases)-1].until
	switch {
	case errors.Is(c.why, push.ErrGone) && c.sock.lost != nil,
		errors.Is(c.why, push.ErrClosed) && slices.Contains(c.ending, -1),
		told && slices.Contains(c.ending, end.Code),
		told && end.Code == push.CloseUnauthorized && !last.IsZero() && !time.Now().Before(last),
		told && end.Code == push.CloseUnauthorized && len(c.leases) > 1, // looked at before the last one was set
		told && end.Code == push.CloseOverload && (slow(c.since) || slices.ContainsFunc(c.changes, func(ch change) bool { return slow(ch.since) })):
	default:
		m.Fatalf("it ended with %v; lost: %v, told to end: %d, credentials until %v", c.why, c.sock.lost, c.ending, last)
	}
}

// settle lets all go on. Then everybody reaches the head (I10).
func (m *crowdModel) settle() {
	m.Log("settle")
	for _, c := range m.members {
		c.sock.letGo(&c.sock.still)
		c.sock.letGo(&c.sock.stuck)
	}
	synctest.Wait()
	time.Sleep(time.Second) // a page may wait
	for range 3 {
		synctest.Wait()
		m.look()
		for _, c := range m.members {
			if c.why != nil {
				m.open(c)
			}
		}
	}
	head, _ := m.b.Head(context.Background())
	for _, c := range m.members {
		if len(c.changes) > 0 || c.pos.Epoch != head.Epoch {
			m.Fatalf("%v were not told", c.changes)
		}
		at := c.sub.Position()
		if events := m.w.log(head.Epoch).events; slices.ContainsFunc(events[min(at.Seq, uint64(len(events))):], func(e push.Event) bool { return !isEphemeral(e.Topic) }) {
			m.Fatalf("I10: a stream of %v is at %d, the head is %d", c.since, at.Seq, head.Seq)
		}
		m.check(c.moveTo(at))
		m.check(c.hasNewest())
	}
}

// shutdown ends all that is left, and looks whether something is left then.
func (m *crowdModel) shutdown() {
	for _, c := range m.members {
		c.sock.letGo(&c.sock.still)
		c.sock.letGo(&c.sock.stuck)
	}
	if m.Failed() {
		kill(m.hub)
		return
	}
	m.check(m.hub.Shutdown(context.Background()))
	for _, c := range m.members {
		if c.why == nil {
			c.why = <-c.ended
			c.ending = append(c.ending, push.CloseDrain)
			m.over(c)
		}
		if len(c.ended) > 0 {
			m.Fatal("a stream ended twice")
		}
	}
	synctest.Wait()
	if s := m.hub.State(); s.Parked != 0 || m.hub.Subscriptions() != 0 {
		m.Fatalf("left is %+v", s)
	}
}
