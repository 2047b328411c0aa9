package push

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Next waits until there is something to write and returns it: events after
// the position, a gap, control events, or an empty batch as a heartbeat. It
// moves the position to the batch's Upto. It returns a *CloseError when the
// stream is to end, ErrClosed when the subscription or hub was closed, or
// ctx's error.
func (s *Subscription) Next(ctx context.Context) (Batch, error) {
	for {
		b, do, err := s.poll()
		if err != nil || do == doReturn {
			return b, err
		}
		wait := time.Duration(0)
		if do == doPage {
			b, do, err := s.page(ctx)
			if err != nil || do == doReturn {
				return b, err
			}
			if do == doPage {
				continue
			}
			wait = pagePause // the broker has nothing more and the window is not there yet
		}
		if err := s.await(ctx, wait); err != nil {
			return Batch{}, err
		}
	}
}

const pagePause = 100 * time.Millisecond

func (s *Subscription) await(ctx context.Context, atMost time.Duration) error {
	if atMost > 0 {
		short, cancel := context.WithTimeout(ctx, atMost)
		defer cancel()
		select {
		case <-s.reader.news:
		case <-short.Done():
		}
		return ctx.Err()
	}
	select {
	case <-s.reader.news:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type verdict uint8

const (
	doWait verdict = iota
	doReturn
	doRest // as doReturn, and there is nothing more: the reader is parked
	doPage
)

// poll takes what there is without waiting, or parks the reader.
func (s *Subscription) poll() (b Batch, do verdict, err error) {
	r, l := &s.reader, s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	st := r.stream.Load()
	if st == nil {
		r.listen()
	}
	if err := s.endLocked(); err != nil {
		return b, doReturn, err
	}
	r.unpark(l.head)
	b.From = r.pos
	if s.controls != nil {
		b.Controls, s.controls, b.Upto = *s.controls, nil, r.pos
		return s.said(b)
	}
	if s.hub.memory == nil && s.needsBroker() {
		if s.takeBeat() {
			b.Upto = r.pos
			return s.said(b)
		}
		return b, doPage, nil
	}
	if err := s.tellHole(&b); err != nil {
		return b, doReturn, err
	}
	b.Messages, b.Upto = s.collect()
	r.pos = b.Upto
	s.placeGap(&b)
	news := len(b.Messages) > 0 || b.Gap != nil || s.takeBeat()
	if news && (st == nil || b.Upto != l.head) {
		return s.said(b)
	}
	if st == nil || !l.join(st) {
		r.park()
	}
	if n := len(b.Messages); n > 0 { // just now, without a look at the clock
		s.beatDue, s.lastSaid = false, max(s.lastSaid, b.Messages[n-1].added)
		return b, doRest, nil
	}
	if news {
		b, _, _ = s.said(b)
		return b, doRest, nil
	}
	s.release()
	return b, doWait, nil
}

func (s *Subscription) said(b Batch) (Batch, verdict, error) {
	s.beatDue = false
	s.lastSaid = s.reader.log.now()
	return b, doReturn, nil
}

// needsBroker reports whether the window cannot serve the reader.
func (s *Subscription) needsBroker() bool {
	r := &s.reader
	return s.verify || r.pos.Epoch != r.log.head.Epoch || r.hole(r.pos.Seq, Tell, Latest, Disconnect) > 0
}

// tellHole announces, with the memory broker's own evidence, what the reader
// cannot have any more.
func (s *Subscription) tellHole(b *Batch) error {
	r, l := &s.reader, s.reader.log
	seen := max(r.pos.Seq, r.told)
	switch {
	case s.hub.memory == nil:
		return nil
	case s.verify: // only a position of another epoch is not verified at the start
		s.verify = false
		to := ID{Epoch: l.head.Epoch}
		from := r.pos
		r.pos = to
		r.leaveEpoch()
		to = l.id(r.hole(0, Tell, Disconnect))
		b.From, b.Gap = r.pos, &Gap{From: from, To: to, Reason: ReasonEpoch}
	case r.hole(max(seen, r.born), Disconnect) > 0:
		return errSlow
	default:
		to := r.hole(seen, Tell, Disconnect)
		if to == 0 {
			return nil
		}
		b.Gap = &Gap{From: r.pos, To: l.id(to), Reason: s.reason(to)}
	}
	r.told = b.Gap.To.Seq
	b.Topics = s.topicsLocked()
	return nil
}

// placeGap looks at a batch's gap once its messages are known. If nothing
// inside the gap survived, the reader has passed it; and what was removed
// before the first event of a reader that starts at the oldest is no hole.
func (s *Subscription) placeGap(b *Batch) {
	if g := b.Gap; g != nil && (len(b.Messages) == 0 || b.Messages[0].ID.Seq > g.To.Seq) {
		if s.fresh && g.Reason != ReasonEpoch {
			b.Gap, b.Topics = nil, nil
		} else if b.From.Seq < g.To.Seq {
			b.From = g.To
		}
	}
	s.fresh = false
}

var errSlow = &CloseError{Code: CloseOverload, Reason: "the client reads too slowly", Retry: time.Second}

// reason says why events up to a sequence are gone: whatever was published
// after the reader had come was also removed after that.
func (s *Subscription) reason(to uint64) Reason {
	if to > s.reader.born {
		return ReasonLagged
	}
	return ReasonTrimmed
}

// collect reads the feeds after the position, conflated where the policy is
// Latest.
func (s *Subscription) collect() ([]*Message, ID) {
	r := &s.reader
	idle := true
	latest := false
	for _, a := range r.atts {
		idle = idle && a.feed.ring.after(max(r.pos.Seq, a.since)) == nil
		latest = latest || a.policy == Latest
	}
	if idle {
		return nil, r.newest()
	}
	ms, upto := r.collect(s.take(), maxBatch)
	for latest && upto != r.newest() {
		r.pos = upto
		n := len(s.conflate(ms))
		ms, upto = r.collect(ms[:n], n+max(n, maxBatch))
	}
	if latest {
		ms = s.conflate(ms)
	}
	*s.buf = ms
	return ms, upto
}

// conflate leaves, of the messages whose policy is Latest, the newest for each
// topic and key.
func (s *Subscription) conflate(ms []*Message) []*Message {
	type key struct{ topic, key string }
	seen := map[key]bool{}
	kept := len(ms)
	for _, m := range slices.Backward(ms) {
		if k := (key{m.Topic, m.Key}); s.isLatest(m.Topic) {
			if seen[k] {
				continue
			}
			seen[k] = true
		}
		kept--
		ms[kept] = m
	}
	n := copy(ms, ms[kept:])
	clear(ms[n:])
	return ms[:n]
}

func (s *Subscription) isLatest(topic string) bool {
	return slices.ContainsFunc(s.reader.atts, func(a *attachment) bool {
		return a.policy == Latest && Match(a.feed.pattern, topic)
	})
}

// page reads what lies below the window from the broker. Errors of the broker
// are not the reader's: it waits and tries again. The verdict is doReturn,
// doWait (for a while: there was nothing) or doPage (poll again at once).
func (s *Subscription) page(ctx context.Context) (b Batch, do verdict, err error) {
	r, l := &s.reader, s.reader.log
	l.mu.Lock()
	q := Query{Topics: s.topicsLocked(), After: r.pos, Limit: maxBatch}
	known := !s.verify
	l.mu.Unlock()
	if !known && q.After.IsZero() {
		q.After = ID{Epoch: ^uint64(0), Seq: 0} // zero would mean the oldest
	}
	ms, upto, gap, err := s.hub.flights.read(ctx, s.hub.broker, q, known)
	if err != nil {
		if ctx.Err() != nil {
			return b, doWait, ctx.Err()
		}
		if errors.Is(err, ErrClosed) {
			return b, doWait, err
		}
		return b, doWait, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := s.endLocked(); err != nil { // the broker may have taken long
		return b, doWait, err
	}
	if slices.Compare(q.Topics, s.topicsLocked()) != 0 {
		return b, doPage, nil // topics changed meanwhile
	}
	b.From = r.pos
	if err := s.tellPageGap(&b, gap); err != nil {
		return b, doWait, err
	}
	moved := r.pos != upto || s.verify
	s.verify = false
	r.pos, b.Upto = upto, upto
	for _, m := range ms {
		if r.wants(&m.Event) {
			b.Messages = append(b.Messages, m)
		}
	}
	b.Messages = s.conflatePage(b.Messages)
	s.placeGap(&b)
	if len(b.Messages) > 0 || b.Gap != nil {
		b, _, _ = s.said(b)
		return b, doReturn, nil
	}
	if moved {
		return b, doPage, nil
	}
	return b, doWait, nil
}

func (s *Subscription) conflatePage(ms []*Message) []*Message {
	if slices.ContainsFunc(s.reader.atts, func(a *attachment) bool { return a.policy == Latest }) {
		return s.conflate(ms)
	}
	return ms
}

func (s *Subscription) tellPageGap(b *Batch, gap *Gap) error {
	r := &s.reader
	if gap == nil {
		return nil
	}
	minded := slices.ContainsFunc(r.atts, func(a *attachment) bool { return a.policy != Latest })
	switch {
	case gap.Reason == ReasonEpoch:
		b.From = ID{Epoch: gap.To.Epoch}
		gap.From = r.pos
		r.leaveEpoch()
		r.born = 0
		if r.log.head.Epoch == gap.To.Epoch {
			r.born = r.log.head.Seq
		}
	case !minded || gap.To.Seq <= r.told:
		return nil
	case gap.To.Seq > r.born && slices.ContainsFunc(r.atts, func(a *attachment) bool { return a.policy == Disconnect }):
		return errSlow
	default:
		gap.Reason = s.reason(gap.To.Seq)
	}
	b.Gap, b.Topics = gap, s.topicsLocked()
	r.told = gap.To.Seq
	return nil
}
