package push

import (
	"slices"
	"time"
)

// cohort is streams of one shard that have the same position in one feed, and
// the same form. For the log they are one reader, and what they are behind is
// gathered once for all of them: a delivery costs the write and no more. A
// stream joins when it has caught up, and leaves when it needs something of its
// own or its connection is full.
//
// A cohort waits at its feed (feed.cohorts), or is queued at its shard or being
// served; then nobody joins it.
type cohort struct {
	shard *shard
	feed  *feed
	enc   *Encoding

	// Guarded by log.mu:
	pos    ID            // of the members that were not handed the batch
	parked bool          // it waits at its feed: pos moves along with the head
	said   time.Duration // when the last batch was taken, by log.now
	expiry expiry

	// Guarded by both log.mu and shard.mu, locked in this order:
	members []*Stream
	handed  int // members[:handed] were handed the batch
	upto    ID  // their position

	// Of the shard's goroutine:
	batch *[]*Message // nil between two rounds
	end   ID          // the position after the batch
}

// expiry is when the credentials of a cohort's members run out, in Unix ns: so
// that the members are asked only when it is time for one of them.
type expiry struct {
	soonest int64 // no member's is earlier; 0: none has any
	left    int64 // the soonest of those that were asked in this round
	all     bool  // every member was asked in this round
}

// expiresToo takes a member's expiry into account, also if the member was asked
// already in this round.
func (c *cohort) expiresToo(at int64) {
	c.expiry.soonest, c.expiry.left = sooner(c.expiry.soonest, at), sooner(c.expiry.left, at)
}

func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// join parks a stream that has seen everything together with others of its
// kind, if it can. The caller holds mu.
func (l *log) join(st *Stream) bool {
	r := &st.sub.reader
	if len(r.atts) != 1 || r.pos != l.head {
		return false
	}
	a := r.atts[0]
	if a.feed.readers < 2 || a.policy == Latest {
		return false
	}
	c := a.feed.cohortFor(st, 1)
	if c == nil {
		c = &cohort{shard: st.shard, feed: a.feed, enc: st.frames.Encoding()}
		c.park(l.head)
	}
	a.feed.unpark(a)
	sh := st.shard
	sh.mu.Lock()
	st.cohort, st.place = c, len(c.members)
	c.members = append(c.members, st)
	sh.mu.Unlock()
	c.expiresToo(st.sub.expires)
	return true
}

// crowd is how many streams a cohort has at most. Each is gathered for by itself,
// when its turn comes: so in a topic of thousands the last get what has come
// while the first were written to.
const crowd = turn

// cohortFor returns a cohort that waits at f and that n streams like st could
// join. It looks at the last few: they are the ones with room.
func (f *feed) cohortFor(st *Stream, n int) *cohort {
	enc := st.frames.Encoding()
	last := f.cohorts[max(0, len(f.cohorts)-16):]
	for _, c := range slices.Backward(last) {
		if c.shard == st.shard && c.enc == enc && len(c.members)+n <= crowd {
			return c
		}
	}
	return nil
}

func (c *cohort) park(head ID) {
	c.pos, c.parked = head, true
	c.feed.cohorts = append(c.feed.cohorts, c)
}

// wakeCohorts has the cohorts served that wait at f. They have seen everything
// that matches up to head.
func (f *feed) wakeCohorts(head ID) {
	if len(f.cohorts) == 0 {
		return
	}
	var few [8]*shard
	shards := few[:0]
	for _, c := range f.cohorts {
		c.parked = false
		if head.Epoch == c.pos.Epoch && head.Seq > c.pos.Seq {
			c.pos = head
		}
		if !slices.Contains(shards, c.shard) {
			shards = append(shards, c.shard)
		}
	}
	for _, sh := range shards {
		sh.wakeCohorts(f.cohorts...)
	}
	clear(f.cohorts)
	f.cohorts = f.cohorts[:0]
}

// positionOf returns the position of a member. The caller holds both locks.
func (c *cohort) positionOf(st *Stream, head ID) ID {
	switch {
	case st.place < c.handed:
		return c.upto
	case c.parked && head.Epoch == c.pos.Epoch && head.Seq > c.pos.Seq:
		return head
	}
	return c.pos
}

// leaveCohort gives a stream its own position back. The caller holds log.mu.
func (st *Stream) leaveCohort() {
	st.shard.mu.Lock()
	defer st.shard.mu.Unlock()
	if c := st.cohort; c != nil {
		c.release(st)
	}
}

// release removes a member. The caller holds both locks.
func (c *cohort) release(st *Stream) {
	s := st.sub
	s.reader.pos = c.positionOf(st, s.reader.log.head)
	s.lastSaid = max(s.lastSaid, c.said)
	hole := st.place
	if hole < c.handed { // it moves to the end of those that were handed the batch
		c.handed--
		c.move(c.handed, hole)
		hole = c.handed
	}
	last := len(c.members) - 1
	if hole < last {
		c.move(last, hole)
	}
	c.members[last] = nil
	c.members = c.members[:last]
	st.cohort = nil
	if last == 0 && c.parked {
		c.feed.dropCohort(c)
	}
}

func (c *cohort) move(from, to int) {
	st := c.members[from]
	c.members[to], st.place = st, to
}

func (f *feed) dropCohort(c *cohort) {
	c.parked = false
	f.cohorts = slices.DeleteFunc(f.cohorts, func(other *cohort) bool { return other == c })
}

// gather begins a round: it takes what the cohort is behind. If that is
// nothing the cohort waits at its feed; where it is not only events, its
// members go on by themselves. Then it reports false.
func (c *cohort) gather() bool {
	l := c.shard.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.endRound()
	if len(c.members) == 0 {
		return false
	}
	if l.closed != nil || c.pos.Epoch != l.head.Epoch || c.pos.Seq > l.head.Seq || c.feed.hole(l.floor, c.pos.Seq) > 0 {
		c.disband()
		return false
	}
	ms := c.feed.ring.after(c.pos.Seq)
	if len(ms) == 0 {
		c.rest(l.head)
		return false
	}
	c.batch = batches.Get().(*[]*Message)
	var whole bool
	if *c.batch, whole = appendLive((*c.batch)[:0], ms, maxBatch, 0); len(*c.batch) == 0 { // ephemeral, and gone
		c.endBatch()
		c.rest(l.head)
		return false
	}
	if c.end = l.head; !whole {
		c.end = (*c.batch)[len(*c.batch)-1].ID
	}
	c.said = max(c.said, ms[len(ms)-1].added)
	return true
}

// endRound has everybody at the same position again. It holds log.mu.
func (c *cohort) endRound() {
	c.endBatch()
	sh := c.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.handed > 0 {
		c.pos, c.handed = c.upto, 0
	}
	if c.expiry.all {
		c.expiry = expiry{soonest: c.expiry.left}
	}
}

func (c *cohort) endBatch() {
	if c.batch != nil {
		clear(*c.batch)
		batches.Put(c.batch)
		c.batch = nil
	}
}

// rest parks the cohort, or has its members join those that wait already.
func (c *cohort) rest(head ID) {
	sh := c.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	home := c.feed.cohortFor(c.members[0], len(c.members))
	if home == nil {
		c.park(head)
		return
	}
	if len(home.members) < len(c.members) {
		home.members, c.members = c.members, home.members
		for i, st := range home.members {
			st.cohort, st.place = home, i
		}
	}
	for _, st := range c.members {
		st.cohort, st.place = home, len(home.members)
		home.members = append(home.members, st)
	}
	home.said = max(home.said, c.said)
	home.expiresToo(c.expiry.soonest)
	c.members = nil
}

// disband has each member served by itself, from the cohort's position on.
func (c *cohort) disband() {
	sh := c.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, st := range c.members {
		s := st.sub
		s.reader.pos, s.lastSaid = c.pos, max(s.lastSaid, c.said)
		st.cohort = nil
		sh.queueLocked(st)
	}
	c.members = nil
}

// serveCohort writes a batch to the next members, a turn of them, and reports
// whether it is to be called again.
func (sh *shard) serveCohort(c *cohort) bool {
	if c.batch == nil && !c.gather() {
		return false
	}
	buf := c.frames(sh.scratch())
	todo, over := c.hand(sh.members[:0])
	for _, st := range todo {
		if n, err := st.conn.TryWrite(buf); n < len(buf) || err != nil {
			sh.cut(st, &Batch{From: c.pos, Messages: *c.batch}, part{buf: buf, to: len(*c.batch)}, n, err)
		}
	}
	clear(todo)
	sh.keep(buf)
	return !over || c.gather()
}

// frames appends the batch's wire form to buf, as much as one write takes.
func (c *cohort) frames(buf []byte) []byte {
	batch := *c.batch
	for i, m := range batch {
		at := len(buf)
		buf = m.AppendTo(buf, c.enc)
		if i > 0 && len(buf) > scratch { // in the first turn of a round only
			clear(batch[i:])
			*c.batch, c.end = batch[:i], batch[i-1].ID
			return buf[:at]
		}
	}
	return buf
}

// hand takes the next members that the batch is for, and reports whether they
// are the last. Those that need something of their own are queued, and leave, as
// do those whose credentials have run out.
func (c *cohort) hand(dst []*Stream) (todo []*Stream, over bool) {
	sh := c.shard
	sh.log.mu.Lock()
	defer sh.log.mu.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c.upto = c.end
	now := c.due()
	if c.handed == 0 {
		c.expiry.left, c.expiry.all = 0, true
	}
	c.expiry.all = c.expiry.all && now != 0 // the clock may be set back
	for len(dst) < turn && c.handed < len(c.members) {
		st := c.members[c.handed]
		if now != 0 && c.expired(st, now) {
			sh.queueLocked(st) // it will be told
		}
		if st.queued {
			c.release(st)
			continue
		}
		c.handed++
		dst = append(dst, st)
	}
	return dst, c.handed == len(c.members)
}

// due returns the time if the credentials of some member have run out, else 0.
func (c *cohort) due() int64 {
	if c.expiry.soonest == 0 {
		return 0
	}
	if now := time.Now().UnixNano(); now >= c.expiry.soonest {
		return now
	}
	return 0
}

func (c *cohort) expired(st *Stream, now int64) bool {
	at := st.sub.expires
	if at != 0 && now >= at {
		return true
	}
	c.expiry.left = sooner(c.expiry.left, at)
	return false
}
