package rest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Presence says at which topics clients can see each other.
type Presence struct {
	// Topics are topics and patterns. Whoever has a stream of one of the
	// topics is there, by its name; a pattern that matches it does not make
	// present. Required.
	Topics []string

	// Info returns what others see of a member beside its id; it must encode
	// to JSON, and is asked once, when the member comes. Optional. Default:
	// nothing.
	Info func(*Principal) any
}

// Times of presence. A node that dies is missed after at most nodeLife, the lag
// of a store and beatEvery: 27 s.
const (
	presenceGrace = 10 * time.Second // after the last connection of a member, before it has left
	beatEvery     = 5 * time.Second  // how often a node says that it lives
	nodeLife      = 20 * time.Second // without saying so
	sweepEvery    = 12               // beats, if no node was missed
	retryPresence = time.Second      // after the store or the log failed, or another node was at it
)

// presence is who is at the topics of a mount. Locally it counts connections;
// what all nodes agree on is in the hub's store: see settle. It has one timer
// and, while there is something to settle, one goroutine.
type presence struct {
	Presence
	hub  *push.Hub
	log  *slog.Logger
	node string // this mount

	mu      sync.Mutex
	here    map[memberKey]*member // with connections to this node, or in their grace
	leaving []departure           // by time
	dirty   map[memberKey]bool    // to be settled
	working bool                  // the goroutine runs
	beatDue bool
	beatAt  time.Time
	timer   *time.Timer

	closed bool // the hub is

	// Of the goroutine:
	alive bool            // this node is in the store
	nodes map[string]bool // that lived at the last beat
	beats int
}

// memberKey is a member of a topic: a subject, or an anonymous connection.
type memberKey struct{ topic, who string }

type member struct {
	conns int
	shown json.RawMessage // {"id","info"}
	left  time.Time       // when the last connection ended, if there is none
}

type departure struct {
	key  memberKey
	left time.Time
}

func newPresence(cfg *Config) (*presence, error) {
	if len(cfg.Presence.Topics) == 0 {
		return nil, nil //nolint:nilnil // nobody is anywhere
	}
	for _, t := range cfg.Presence.Topics {
		if err := push.CheckPattern(t); err != nil {
			return nil, err
		}
	}
	p := &presence{
		Presence: cfg.Presence, hub: cfg.Hub, log: cfg.Logger, node: push.NewConnectionID(),
		here: map[memberKey]*member{}, dirty: map[memberKey]bool{}, beatDue: true,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workLocked()
	return p, nil
}

// presenceTopics is where joins and leaves are published.
const presenceTopics = "$presence/"

// covers reports whether presence is on for a topic. The topic of its joins and
// leaves is longer: if it would be too long, it is not.
func (p *presence) covers(topic string) bool {
	if p == nil || push.CheckPattern(presenceTopics+topic) != nil {
		return false
	}
	for _, pattern := range p.Topics {
		if push.Match(pattern, topic) {
			return true
		}
	}
	return false
}

// attend makes a connection present where it is subscribed, and nowhere else.
// The caller holds c.updating, or nobody else knows c yet.
func (p *presence) attend(c *conn) {
	if p == nil || c.transport == "poll" && c.principal().Subject == "" { // a visitor's next poll is somebody else's
		return
	}
	at := map[memberKey]bool{}
	for _, t := range c.sub.Topics() {
		if !push.IsPattern(t) && p.covers(t) {
			at[memberKey{t, p.name(c)}] = true
		}
	}
	if len(at) > 0 && c.present == nil && c.principal().Subject == "" && c.h.limits.message(c.caller, 1) != nil {
		return // each of a visitor's connections is two events: too many of them are not shown
	}
	var shown json.RawMessage
	if len(at) > 0 {
		shown = p.show(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.departed {
		return
	}
	for k := range at {
		if !c.present[k] {
			p.comeLocked(k, shown)
		}
	}
	for k := range c.present {
		if !at[k] {
			p.goLocked(k)
		}
	}
	c.present = at
}

// depart makes a connection that has ended absent everywhere.
func (p *presence) depart(c *conn) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.departed = true
	for k := range c.present {
		p.goLocked(k)
	}
	c.present = nil
}

// name returns whom a connection stands for: its subject or, for an anonymous
// one, a name that is not the connection's, since that is a capability.
func (p *presence) name(c *conn) string {
	if key := c.principal().key(); key != "" {
		return key
	}
	if c.visitor == "" {
		c.visitor = push.NewConnectionID()
	}
	return c.visitor
}

func (p *presence) comeLocked(k memberKey, shown json.RawMessage) {
	m := p.here[k]
	if m == nil {
		m = &member{shown: shown}
		p.here[k] = m
		p.dirty[k] = true
		p.workLocked()
	}
	m.conns++
}

func (p *presence) goLocked(k memberKey) {
	m := p.here[k]
	if m.conns--; m.conns == 0 {
		m.left = time.Now()
		p.leaving = append(p.leaving, departure{k, m.left})
		p.armLocked()
	}
}

// show returns what others see of a connection's member.
func (p *presence) show(c *conn) json.RawMessage {
	who := c.principal()
	m := Member{ID: who.Subject}
	if m.ID == "" {
		m.ID = c.visitor
	}
	if p.Info != nil {
		info, err := json.Marshal(p.Info(who))
		if err != nil {
			p.log.Error("push: Presence.Info does not encode to JSON", "err", err)
		} else {
			m.Info = info
		}
	}
	shown, _ := json.Marshal(m) // a string and JSON always encode
	return shown
}

// workLocked has the goroutine look for what there is to do.
func (p *presence) workLocked() {
	if !p.working && !p.closed {
		p.working = true
		go p.work()
	}
}

// armLocked sets the timer to what is due next.
func (p *presence) armLocked() {
	if p.closed {
		return
	}
	next := p.beatAt
	if len(p.leaving) > 0 {
		if at := p.leaving[0].left.Add(presenceGrace); at.Before(next) {
			next = at
		}
	}
	if len(p.dirty) > 0 {
		if at := time.Now().Add(retryPresence); at.Before(next) {
			next = at
		}
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Until(next), p.wake)
	} else {
		p.timer.Reset(time.Until(next))
	}
}

// wake runs when the timer does.
func (p *presence) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for len(p.leaving) > 0 && !p.leaving[0].left.Add(presenceGrace).After(now) {
		d := p.leaving[0]
		p.leaving = p.leaving[1:]
		if m := p.here[d.key]; m != nil && m.conns == 0 && m.left.Equal(d.left) {
			delete(p.here, d.key)
			p.dirty[d.key] = true
		}
	}
	p.beatDue = p.beatDue || !now.Before(p.beatAt)
	p.workLocked()
}

// work settles what there is to settle. What fails is tried again a little
// later, until the hub is closed.
func (p *presence) work() {
	var again []memberKey
	var err error
	if p.takeBeat() {
		err = p.attempt(p.beat)
	}
	for k, ok := p.takeDirty(); ok && !errors.Is(err, push.ErrClosed); k, ok = p.takeDirty() {
		if !p.alive { // a record must not name a node that is not there
			again = append(again, k)
			continue
		}
		if err = p.attempt(func(ctx context.Context) error { return p.settle(ctx, k, nil) }); err != nil {
			again = append(again, k)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working, p.closed = false, errors.Is(err, push.ErrClosed)
	if len(p.dirty) > 0 { // since it was looked at last
		p.workLocked()
	}
	for _, k := range again {
		p.dirty[k] = true
	}
	p.armLocked()
}

// attempt gives the store and the log a bounded time, and logs what they say.
func (p *presence) attempt(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	err := f(ctx)
	if err != nil && !errors.Is(err, errBusy) && !errors.Is(err, push.ErrClosed) {
		p.log.Warn("push: presence cannot be settled now, and is tried again", "err", err)
	}
	return err
}

func (p *presence) takeBeat() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := p.beatDue
	if due {
		p.beatDue, p.beatAt = false, time.Now().Add(beatEvery)
	}
	return due
}

func (p *presence) takeDirty() (k memberKey, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k = range p.dirty {
		delete(p.dirty, k)
		return k, true
	}
	return k, false
}

// local returns what others see of a member if it is here, else nil.
func (p *presence) local(k memberKey) json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.here[k]; m != nil {
		return m.shown
	}
	return nil
}

// presenceAction returns what it takes to do action on a topic or pattern: to
// read the joins and leaves of a topic is to see who is there.
func presenceAction(action push.Action, topic string) (push.Action, string) {
	of, ok := strings.CutPrefix(topic, presenceTopics)
	if ok && (action == push.ActionSub || action == push.ActionHistory) {
		return push.ActionPresence, of
	}
	return action, topic
}
