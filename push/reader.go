package push

import (
	"slices"
	"sync/atomic"
)

// reader is a position in a log and the feeds that it follows: all that a
// subscription costs. Everything in it is guarded by log.mu, but for news.
type reader struct {
	log    *log
	atts   []*attachment
	pos    ID            // everything that matches up to here was handed out
	told   uint64        // holes up to here were announced
	born   uint64        // the head when the reader came: ephemeral events up to here are not for it
	lobby  *attachment   // parked at while there are no topics
	parked bool          // caught up: pos moves along with the head by itself
	news   chan struct{} // of capacity 1; nil while nobody waits for it
	stream atomic.Pointer[Stream]
}

// listen makes news wait for the reader, as long as nobody looks.
func (r *reader) listen() {
	if r.news == nil {
		r.news = make(chan struct{}, 1)
	}
}

// wake has whoever reads look again. The caller holds log.mu.
func (r *reader) wake() {
	if st := r.stream.Load(); st != nil {
		st.shard.again(st)
		return
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// park makes the next matching event wake the reader, which must have
// collected everything.
func (r *reader) park() {
	r.parked = true
	for _, a := range r.atts {
		a.feed.park(a)
	}
	if len(r.atts) == 0 {
		if r.lobby == nil {
			r.lobby = &attachment{feed: &r.log.lobby, reader: r}
		}
		r.log.lobby.park(r.lobby)
	}
}

// leave detaches the reader from all feeds.
func (r *reader) leave() {
	r.unpark(r.log.head)
	for _, a := range r.atts {
		r.log.detach(a)
	}
	r.atts = nil
	if r.lobby != nil {
		r.log.lobby.unpark(r.lobby)
	}
}

// unpark gives a caught-up reader its position: that of the head, unless a
// window is still behind it.
func (r *reader) unpark(head ID) {
	if st := r.stream.Load(); st != nil {
		st.leaveCohort()
	}
	r.moveTo(head)
}

// moveTo is unpark for a reader that is in no cohort.
func (r *reader) moveTo(head ID) {
	if r.parked && head.Epoch == r.pos.Epoch && head.Seq > r.pos.Seq {
		r.pos = head
	}
	r.parked = false
}

// find returns the index of the attachment to a topic or pattern, or -1.
func (r *reader) find(pattern string) int {
	return slices.IndexFunc(r.atts, func(a *attachment) bool { return a.feed.pattern == pattern })
}

// sizeAfter returns how many topics and patterns there are once those of remove
// are gone and those of add are there.
func (r *reader) sizeAfter(add, remove []string) int {
	n := len(add)
	for _, a := range r.atts {
		if p := a.feed.pattern; !slices.Contains(remove, p) && !slices.Contains(add, p) {
			n++
		}
	}
	return n
}

// hole returns the newest sequence after seen that was removed from the feeds
// whose policy is among policies (0: none).
func (r *reader) hole(seen uint64, policies ...Policy) (to uint64) {
	for _, a := range r.atts {
		if s := a.feed.hole(r.log.floor, max(seen, a.since)); s > 0 && slices.Contains(policies, a.policy) {
			to = max(to, s)
		}
	}
	return to
}

// maxBatchBytes bounds what one batch or page holds, above one message.
const maxBatchBytes = 1 << 20

// collect appends to dst at most limit messages after the reader's position,
// each once, and returns the position up to which they are all that matches.
func (r *reader) collect(dst []*Message, limit int) ([]*Message, ID) {
	lists := r.log.lists[:0]
	for _, a := range r.atts {
		if ms := a.feed.ring.after(max(r.pos.Seq, a.since)); len(ms) > 0 {
			lists = append(lists, ms)
		}
	}
	r.log.lists = lists[:0]
	defer clear(lists)
	if len(lists) == 0 {
		return dst, r.newest()
	}
	if len(lists) == 1 { // the usual case, without an iterator
		dst, whole := appendLive(dst, lists[0], limit, r.born)
		if !whole {
			return dst, dst[len(dst)-1].ID
		}
		return dst, r.newest()
	}
	bytes := 0
	for m := range merged(lists) {
		if m.gone || m.ephemeral && m.ID.Seq <= r.born {
			continue
		}
		if len(dst) == limit || bytes > maxBatchBytes {
			return dst, dst[len(dst)-1].ID
		}
		dst = append(dst, m)
		bytes += int(m.size)
	}
	return dst, r.newest()
}

// appendLive appends the messages that are not gone to dst, without ephemeral
// ones up to born, as long as there are at most limit in it. It reports whether
// those are all.
func appendLive(dst, ms []*Message, limit int, born uint64) (_ []*Message, whole bool) {
	bytes := 0
	for _, m := range ms {
		if m.gone || m.ephemeral && m.ID.Seq <= born {
			continue
		}
		if len(dst) == limit || bytes > maxBatchBytes {
			return dst, false
		}
		dst = append(dst, m)
		bytes += int(m.size)
	}
	return dst, true
}

// wants reports whether an event is after the position at which its topic was
// added. An attachment of the subscription matches it.
func (r *reader) wants(e *Event) bool {
	return slices.ContainsFunc(r.atts, func(a *attachment) bool {
		return e.ID.Seq > a.since && Match(a.feed.pattern, e.Topic)
	})
}

// leaveEpoch forgets the positions at which topics were added.
func (r *reader) leaveEpoch() {
	for _, a := range r.atts {
		a.since = 0
	}
}

// newest is the head, or the position if a window is still behind it.
func (r *reader) newest() ID {
	if r.log.head.Seq < r.pos.Seq {
		return r.pos
	}
	return r.log.head
}

// merged yields the messages of lists, which ascend, in order and each once.
// It uses lists up.
func merged(lists [][]*Message) func(yield func(*Message) bool) {
	return func(yield func(*Message) bool) {
		var last uint64
		for len(lists) > 0 {
			at := 0
			for i := 1; i < len(lists); i++ {
				if lists[i][0].ID.Seq < lists[at][0].ID.Seq {
					at = i
				}
			}
			m := lists[at][0]
			if lists[at] = lists[at][1:]; len(lists[at]) == 0 {
				lists = slices.Delete(lists, at, at+1)
			}
			if m.ID.Seq == last {
				continue
			}
			last = m.ID.Seq
			if !yield(m) {
				return
			}
		}
	}
}

// mergedBack is merged from the newest message to the oldest.
func mergedBack(lists [][]*Message) func(yield func(*Message) bool) {
	return func(yield func(*Message) bool) {
		var last uint64
		for len(lists) > 0 {
			at := 0
			for i := 1; i < len(lists); i++ {
				if lists[i][len(lists[i])-1].ID.Seq > lists[at][len(lists[at])-1].ID.Seq {
					at = i
				}
			}
			n := len(lists[at]) - 1
			m := lists[at][n]
			if lists[at] = lists[at][:n]; n == 0 {
				lists = slices.Delete(lists, at, at+1)
			}
			if m.ID.Seq == last {
				continue
			}
			last = m.ID.Seq
			if !yield(m) {
				return
			}
		}
	}
}
