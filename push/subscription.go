package push

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"time"
)

// MaxSubscriptionTopics is how many topics and patterns one subscription can
// have.
const MaxSubscriptionTopics = 1000

// Subscription is a position in the log and a set of topics. It has no queue:
// Next reads the log after the position. One goroutine at a time may call
// Next; all other methods are safe for concurrent use.
type Subscription struct {
	hub     *Hub
	reader  reader // with it everything below is guarded by log.mu, but for buf and ctx
	id      string
	subject string

	heartbeat time.Duration
	beat      *time.Timer
	beatDue   bool
	lastSaid  time.Duration // when Next last returned, by log.now

	controls *[]Control // nil if there are none
	expires  int64      // Unix ns: from then on nothing is handed out; 0: never
	internal bool
	end      *CloseError
	closed   bool
	verify   bool // the position must be verified by the broker
	fresh    bool // it starts at the oldest event and has had nothing yet

	buf *[]*Message
}

// Control is an event of the library's own within a stream: it is not in the
// log and has no position.
type Control struct {
	Name string // "push.…"
	Data any    // encodes to a JSON object
}

// Batch is what Next returns. A transport writes, in this order, Controls,
// Gap and Messages, all but the last with the id From; then the reader's
// position is Upto. An empty batch is a heartbeat.
type Batch struct {
	From     ID
	Controls []Control
	Gap      *Gap
	Topics   []string   // with Gap: the topics as subscribed
	Messages []*Message // valid until the next call of Next
	Upto     ID
}

// SubscribeOption configures Subscribe.
type SubscribeOption func(*Subscription)

// WithID names the subscription; default 128 random bits. Whoever knows the
// name can be given control of the connection, so it is told to its own client
// only.
func WithID(id string) SubscribeOption { return func(s *Subscription) { s.id = id } }

// WithSubject says whose subscription it is.
func WithSubject(subject string) SubscribeOption {
	return func(s *Subscription) { s.subject = subject }
}

// WithHeartbeat makes Next return an empty batch after so much silence.
// Default: never.
func WithHeartbeat(d time.Duration) SubscribeOption {
	return func(s *Subscription) { s.heartbeat = d }
}

// WithExpiry is SetExpiry from the start.
func WithExpiry(t time.Time) SubscribeOption {
	return func(s *Subscription) { s.setExpiry(t) }
}

// Internal is for subscriptions of a mount's own, e.g. to what it announces:
// Subscriptions does not count them, Disconnect does not find them, and
// Shutdown does not wait for them.
func Internal() SubscribeOption { return func(s *Subscription) { s.internal = true } }

// NewConnectionID returns 128 random bits in 22 characters.
func NewConnectionID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// Subscribe returns a subscription to topics and patterns. The caller must
// Close it. Errors: ErrInvalid, ErrNotReady, ErrClosed, a *CloseError while
// the hub shuts down, or ctx's.
func (h *Hub) Subscribe(ctx context.Context, topics []string, from Start, opts ...SubscribeOption) (*Subscription, error) {
	topics, err := cleanTopics(topics)
	if err != nil {
		return nil, err
	}
	s := &Subscription{hub: h, reader: reader{log: h.log}}
	for _, o := range opts {
		o(s)
	}
	if s.id == "" {
		s.id = NewConnectionID()
	}
	if err := h.Ready(); err != nil {
		return nil, err
	}
	if err := s.start(ctx, topics, from); err != nil {
		return nil, err
	}
	h.mu.Lock()
	if h.drain != nil {
		h.mu.Unlock()
		s.detach()
		return nil, h.drain
	}
	if !s.internal {
		h.subs[s] = struct{}{}
	}
	h.mu.Unlock()
	return s, nil
}

func cleanTopics(topics []string) ([]string, error) {
	if len(topics) > MaxSubscriptionTopics {
		return nil, tooManyTopics(len(topics))
	}
	seen := make([]string, 0, len(topics))
	for _, t := range topics {
		if err := CheckPattern(t); err != nil {
			return nil, err
		}
		if !slices.Contains(seen, t) {
			seen = append(seen, t)
		}
	}
	return seen, nil
}

func tooManyTopics(n int) error {
	return fmt.Errorf("%w: %d topics in one subscription, at most %d; use a pattern", ErrTooLarge, n, MaxSubscriptionTopics)
}

// ID returns the subscription's name.
func (s *Subscription) ID() string { return s.id }

// Subject returns whose subscription it is.
func (s *Subscription) Subject() string { return s.subject }

// Heartbeat returns the interval that was set by WithHeartbeat.
func (s *Subscription) Heartbeat() time.Duration { return s.heartbeat }

// Expiry returns the time that SetExpiry was given, or zero.
func (s *Subscription) Expiry() time.Time {
	s.reader.log.mu.Lock()
	defer s.reader.log.mu.Unlock()
	if s.expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, s.expires)
}

// SetExpiry says when the credentials run out on which the subscription reads:
// from then on, by the wall clock, Next hands out nothing more and returns a
// *CloseError with CloseUnauthorized. It does not wake a Next that waits: who
// has the credentials calls Disconnect at that time. The zero time is never.
func (s *Subscription) SetExpiry(t time.Time) {
	s.reader.log.mu.Lock()
	defer s.reader.log.mu.Unlock()
	s.setExpiry(t)
	if st := s.reader.stream.Load(); st != nil && st.cohort != nil {
		st.cohort.expiresToo(s.expires)
	}
}

func (s *Subscription) setExpiry(t time.Time) {
	s.expires = 0
	if !t.IsZero() {
		s.expires = t.UnixNano()
	}
}

// endLocked returns why the stream is to end, if it is.
func (s *Subscription) endLocked() error {
	switch {
	case s.end != nil:
		return s.end
	case s.closed:
		return ErrClosed
	case s.expires != 0 && time.Now().UnixNano() >= s.expires:
		return errExpired
	}
	return s.reader.log.closed
}

var errExpired = &CloseError{Code: CloseUnauthorized, Reason: "the credentials have expired: come back with new ones"}

// Topics returns the topics and patterns that are subscribed.
func (s *Subscription) Topics() []string {
	s.reader.log.mu.Lock()
	defer s.reader.log.mu.Unlock()
	return s.topicsLocked()
}

func (s *Subscription) topicsLocked() []string {
	topics := make([]string, len(s.reader.atts))
	for i, a := range s.reader.atts {
		topics[i] = a.feed.pattern
	}
	return topics
}

// Position returns the newest position up to which everything that matches was
// handed out by Next.
func (s *Subscription) Position() ID {
	s.reader.log.mu.Lock()
	defer s.reader.log.mu.Unlock()
	return s.positionLocked()
}

func (s *Subscription) positionLocked() ID {
	if st := s.reader.stream.Load(); st != nil && st.cohort != nil {
		return st.cohort.positionOf(st, s.reader.log.head)
	}
	if r := &s.reader; r.parked && !s.verify && r.log.head.Epoch == r.pos.Epoch {
		return r.newest()
	}
	return s.reader.pos
}

// Notify has Next return a control event. One that waits already under the
// same name is replaced.
func (s *Subscription) Notify(c Control) {
	s.reader.log.mu.Lock()
	s.notifyLocked(c)
	s.reader.wake()
	s.reader.log.mu.Unlock()
}

func (s *Subscription) notifyLocked(c Control) {
	if s.controls == nil {
		s.controls = new([]Control)
	}
	*s.controls = append(slices.DeleteFunc(*s.controls, func(old Control) bool { return old.Name == c.Name }), c)
}

// Disconnect makes Next return why, at once.
func (s *Subscription) Disconnect(why *CloseError) {
	s.reader.log.mu.Lock()
	if s.end == nil {
		s.end = why
	}
	s.reader.wake()
	s.reader.log.mu.Unlock()
}

// Close frees the subscription. Closing again does nothing.
func (s *Subscription) Close() {
	s.detach()
	s.hub.mu.Lock()
	delete(s.hub.subs, s)
	s.hub.leftLocked()
	s.hub.mu.Unlock()
}

func (s *Subscription) detach() {
	l := s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.beat != nil {
		s.beat.Stop()
	}
	s.reader.leave()
	s.reader.wake()
}

var batches = sync.Pool{New: func() any { b := make([]*Message, 0, maxBatch); return &b }}

// maxBatch is how many messages Next returns at most, unless conflation left
// more keys than that.
const maxBatch = 256

func (s *Subscription) take() []*Message {
	if s.buf == nil {
		s.buf = batches.Get().(*[]*Message)
	}
	clear(*s.buf)
	return (*s.buf)[:0]
}

// release gives the buffer back, for an idle subscription holds none.
func (s *Subscription) release() {
	if s.buf != nil {
		clear(*s.buf)
		if cap(*s.buf) <= 4*maxBatch {
			batches.Put(s.buf)
		}
		s.buf = nil
	}
}
