package push

import (
	"context"
	"slices"
	"sync"
	"time"
)

// HubOption configures a hub.
type HubOption func(*Hub)

// WithPolicy sets the slow-consumer policy of subscriptions to topics or
// patterns that pattern covers; of several the first one holds, without one it
// is Tell. It panics if pattern is none.
func WithPolicy(pattern string, p Policy) HubOption {
	if err := CheckPattern(pattern); err != nil {
		panic(err)
	}
	return func(h *Hub) { h.policies = append(h.policies, policyRule{pattern, p}) }
}

// WithDrainWindow sets the time over which Shutdown spreads the ends of
// streams. Default 10 s.
func WithDrainWindow(d time.Duration) HubOption { return func(h *Hub) { h.drainWindow = d } }

// WithWindow bounds what a hub keeps of the tail of a broker that is not in
// this process's memory: per topic, and over all topics in bytes. Older events
// are read from the broker. Default 1000 events a topic, 64 MiB.
func WithWindow(perTopic, maxBytes int) HubOption {
	return func(h *Hub) { h.windowCount, h.windowBytes = perTopic, maxBytes }
}

type policyRule struct {
	pattern string
	policy  Policy
}

// Hub publishes to a broker and serves any number of subscriptions from it.
// All methods are safe for concurrent use.
type Hub struct {
	broker      Broker
	memory      *Memory // the broker, if it is one: then its log is the window
	log         *log
	policies    []policyRule
	drainWindow time.Duration
	windowCount int
	windowBytes int
	follower    *follower // of a broker that is no Memory
	shards      shards
	flights     flights

	mu      sync.Mutex
	inbound []inboundRule
	subs    map[*Subscription]struct{}
	drain   *CloseError   // new subscriptions are refused with it
	emptied chan struct{} // closed when draining and no subscription is left
}

// New returns a hub over a new memory broker with default rules.
func New(opts ...HubOption) *Hub { return NewHub(NewMemory(), opts...) }

// NewHub returns a hub over a broker, which it closes at Shutdown. It does not
// wait for the broker: see Ready.
func NewHub(b Broker, opts ...HubOption) *Hub {
	if b == nil {
		panic("push: NewHub needs a broker: use New(), or NewHub(push.NewMemory(…))")
	}
	h := &Hub{
		broker: b, subs: map[*Subscription]struct{}{}, drainWindow: 10 * time.Second,
		windowCount: DefaultCount, windowBytes: 64 << 20,
	}
	for _, o := range opts {
		o(h)
	}
	if m, ok := b.(*Memory); ok {
		h.memory, h.log = m, m.log
		return h
	}
	h.log = newLog(func(string) retention { return retention{count: h.windowCount} }, h.windowBytes)
	h.follower = follow(h.broker, h.log)
	return h
}

// Publish appends events to the broker's log; see Broker.Publish. It refuses
// events that break a rule (ErrInvalid) and then publishes none of them.
func (h *Hub) Publish(ctx context.Context, events ...Event) ([]ID, error) {
	for i := range events {
		if err := events[i].Check(); err != nil {
			return nil, err
		}
	}
	return h.append(ctx, events)
}

// History reads a page of past events; see Broker.History. Topics whose policy
// is Latest have no gaps for their readers, here as on their streams.
func (h *Hub) History(ctx context.Context, q Query) (Page, error) {
	for _, t := range q.Topics {
		if err := CheckPattern(t); err != nil {
			return Page{}, err
		}
	}
	p, err := h.broker.History(ctx, q)
	if p.Gap != nil && p.Gap.Reason == ReasonTrimmed && !h.minds(ctx, q) {
		p.Gap = nil
	}
	return p, err
}

// minds reports whether a page has a gap for the topics whose policy is not
// Latest, too.
func (h *Hub) minds(ctx context.Context, q Query) bool {
	all := len(q.Topics)
	q.Topics = slices.DeleteFunc(slices.Clone(q.Topics), func(t string) bool { return h.policy(t) == Latest })
	if n := len(q.Topics); n == all || n == 0 {
		return n > 0
	}
	p, err := h.broker.History(ctx, q)
	return err != nil || p.Gap != nil
}

// Announce publishes events of the library's own: on reserved topics, which
// start with "$" and which no client may read by a pattern or publish to, and
// under any name, "push.…" too. It is for mounts and transports; applications
// use Publish. It refuses what breaks another rule of Publish (ErrInvalid).
func (h *Hub) Announce(ctx context.Context, events ...Event) ([]ID, error) {
	for i := range events {
		if err := events[i].checkReserved(); err != nil {
			return nil, err
		}
	}
	return h.append(ctx, events)
}

// append publishes checked events.
func (h *Hub) append(ctx context.Context, events []Event) ([]ID, error) {
	if h.memory != nil {
		return h.memory.publish(ctx, events)
	}
	return h.broker.Publish(ctx, slices.Clone(events)...)
}

// Store returns the state that goes with the log; see Broker.Store.
func (h *Hub) Store() Store { return h.broker.Store() }

// Head returns the position of the newest event in the broker's log.
func (h *Hub) Head(ctx context.Context) (ID, error) { return h.broker.Head(ctx) }

// Position returns the newest position that this hub has seen, at or shortly
// before Head, without asking the broker: what is read from elsewhere after
// this call cannot lack an event before it.
func (h *Hub) Position() ID {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	return h.log.head
}

// Ready returns nil once the hub follows its broker, and why not otherwise:
// for a readiness probe. While a hub is not ready, Subscribe returns
// ErrNotReady; the hub keeps trying.
func (h *Hub) Ready() error {
	h.mu.Lock()
	drain := h.drain
	h.mu.Unlock()
	if drain != nil {
		return drain
	}
	if h.follower != nil {
		return h.follower.ready()
	}
	_, err := h.memory.Head(context.Background())
	return err
}

// Subscriptions returns how many subscriptions are open.
func (h *Hub) Subscriptions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs)
}

func (h *Hub) policy(pattern string) Policy {
	for _, r := range h.policies {
		if Covers(r.pattern, pattern) {
			return r.policy
		}
	}
	return Tell
}

func (h *Hub) each(f func(*Subscription)) {
	h.mu.Lock()
	subs := make([]*Subscription, 0, len(h.subs))
	for s := range h.subs {
		subs = append(subs, s)
	}
	h.mu.Unlock()
	for _, s := range subs {
		f(s)
	}
}

// Disconnect ends every subscription for which match is true, at once, and
// returns how many. A nil why is CloseForbidden: the client stays away.
func (h *Hub) Disconnect(match func(*Subscription) bool, why *CloseError) int {
	if why == nil {
		why = &CloseError{Code: CloseForbidden, Reason: "disconnected by the server"}
	}
	n := 0
	h.each(func(s *Subscription) {
		if match(s) {
			s.Disconnect(why)
			n++
		}
	})
	return n
}
