package push

import (
	"runtime"
	"sync"
	"time"
)

// shards are a hub's writers.
type shards struct {
	mu   sync.Mutex
	list []*shard
	next int
}

// pick returns the shard for a new stream.
func (ss *shards) pick(l *log) *shard {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.list == nil {
		ss.list = make([]*shard, runtime.GOMAXPROCS(0))
		for i := range ss.list {
			ss.list[i] = &shard{log: l}
		}
	}
	ss.next = (ss.next + 1) % len(ss.list)
	return ss.list[ss.next]
}

// shard writes a part of a hub's streams. It has a goroutine only while there
// is something to write.
type shard struct {
	log *log

	mu      sync.Mutex
	streams []*Stream
	groups  []*group // from first on: what has news; each group in turn
	first   int
	free    []*group
	open    *group // takes single streams
	turned  *group // had its turn and is not through
	running bool
	beat    *time.Timer
	every   time.Duration // when beat fires

	// Scratch of the goroutine:
	buf     []byte
	members [turn]*Stream
}

// group is what one event woke: streams, or cohorts. Groups take turns, so that
// a topic of one does not wait for a topic of 100,000.
type group struct {
	streams []*Stream
	cohorts []*cohort
	next    int
}

// job is a stream to be served, and what others left for it.
type job struct {
	*Stream
	inject []byte
	gone   error
	paged  bool
}

const (
	scratch = 64 << 10 // bytes gathered for one write
	turn    = 32       // streams of a group served at a time
)

func (sh *shard) add(st *Stream) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st.at = len(sh.streams)
	sh.streams = append(sh.streams, st)
	st.queued = false
	sh.queueLocked(st)
	if d := st.sub.heartbeat; d > 0 {
		sh.beatWithin(d / beatParts)
	}
	if p, ok := st.conn.(Pinger); ok {
		sh.beatWithin(p.PingEvery())
	}
}

func (sh *shard) remove(st *Stream) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st.left = true
	st.mail.makeRoom()
	last := len(sh.streams) - 1
	sh.streams[st.at] = sh.streams[last]
	sh.streams[st.at].at = st.at
	sh.streams[last] = nil
	sh.streams = sh.streams[:last]
	if last == 0 && sh.beat != nil {
		sh.beat.Stop()
		sh.beat = nil
	}
}

// queueLocked has a stream served. The caller holds mu.
func (sh *shard) queueLocked(st *Stream) {
	if st.queued {
		return
	}
	st.queued = true
	if sh.open == nil {
		sh.open = sh.newGroup()
	}
	sh.open.streams = append(sh.open.streams, st)
	sh.runLocked()
}

// wake has the streams among atts served, as one group. It leaves the others.
func (sh *shard) wake(atts []*attachment) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(atts) == 1 {
		sh.queueLocked(atts[0].reader.stream.Load())
		return
	}
	var g *group
	for _, a := range atts {
		st := a.reader.stream.Load()
		if st == nil || st.shard != sh || st.queued {
			continue
		}
		if g == nil {
			g = sh.newGroup()
		}
		st.queued = true
		g.streams = append(g.streams, st)
	}
	if g != nil {
		sh.queueGroup(g)
	}
}

// wakeCohorts has its own among cohorts served, as one group.
func (sh *shard) wakeCohorts(cohorts ...*cohort) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.newGroup()
	for _, c := range cohorts {
		if c.shard == sh {
			g.cohorts = append(g.cohorts, c)
		}
	}
	sh.queueGroup(g)
}

// queueGroup queues a group behind all that is queued.
func (sh *shard) queueGroup(g *group) {
	sh.closeOpen()
	sh.groups = append(sh.groups, g)
	sh.runLocked()
}

func (sh *shard) closeOpen() {
	if sh.open != nil {
		sh.groups = append(sh.groups, sh.open)
		sh.open = nil
	}
}

func (sh *shard) newGroup() *group {
	if n := len(sh.free); n > 0 {
		g := sh.free[n-1]
		sh.free = sh.free[:n-1]
		return g
	}
	return &group{}
}

func (sh *shard) runLocked() {
	if !sh.running {
		sh.running = true
		go sh.run()
	}
}

// run serves whatever has news, and ends when nothing has. It yields after a turn,
// for publishers and requests are not to wait for all streams; but what a yield
// took, as others had much to do, it works before it yields again.
func (sh *shard) run() {
	var batch [turn]job
	var next time.Duration
	for {
		todo, c := sh.take(batch[:0])
		switch {
		case c != nil:
			if sh.serveCohort(c) {
				sh.wakeCohorts(c)
			}
		case len(todo) == 0:
			return
		}
		for i := range todo {
			sh.serve(&todo[i])
		}
		clear(todo)
		if now := sh.log.now(); now >= next {
			runtime.Gosched()
			back := sh.log.now()
			next = back + (back - now)
		}
	}
}

// take takes a cohort, or the next streams, off the first group and, if that is
// small, off those behind it. A group that is not through goes to the back, behind
// what came while its streams were served.
func (sh *shard) take(dst []job) ([]job, *cohort) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closeOpen()
	if sh.turned != nil {
		sh.groups = append(sh.groups, sh.turned)
		sh.turned = nil
	}
	var c *cohort
	for c == nil && len(dst) < turn && sh.first < len(sh.groups) {
		g := sh.groups[sh.first]
		if len(g.cohorts) > 0 && len(dst) > 0 {
			break
		}
		sh.groups[sh.first] = nil
		sh.first++
		if len(g.cohorts) > 0 {
			c = g.cohorts[g.next]
			g.next++
		}
		for g.next < len(g.streams) && len(dst) < turn {
			dst = g.streams[g.next].takeLocked(dst)
			g.next++
		}
		if g.next < len(g.streams)+len(g.cohorts) {
			sh.turned = g
			break
		}
		sh.freeGroup(g)
	}
	sh.closeGap()
	sh.running = c != nil || len(dst) > 0
	return dst, c
}

// takeLocked takes what others left for the stream. A stream that is held or
// over has nothing to be served.
func (st *Stream) takeLocked(dst []job) []job {
	st.queued = false
	if st.held || st.left {
		return dst
	}
	j := job{Stream: st}
	if in := st.mail; in != nil {
		j.inject, j.gone, j.paged = in.inject, in.gone, in.paged != nil
		in.inject = nil
		in.makeRoom()
	}
	return append(dst, j)
}

// closeGap moves the groups to the front of their slice, now and then.
func (sh *shard) closeGap() {
	if sh.first == len(sh.groups) {
		sh.groups, sh.first = sh.groups[:0], 0
	} else if sh.first > len(sh.groups)/2 {
		n := copy(sh.groups, sh.groups[sh.first:])
		clear(sh.groups[n:])
		sh.groups, sh.first = sh.groups[:n], 0
	}
}

func (sh *shard) freeGroup(g *group) {
	clear(g.streams)
	clear(g.cohorts)
	g.streams, g.cohorts, g.next = g.streams[:0], g.cohorts[:0], 0
	if n := len(sh.free); n < 8 || n < 64 && cap(g.streams)+cap(g.cohorts) <= turn {
		sh.free = append(sh.free, g)
	}
}

// beatParts is how fine silence is measured: a heartbeat comes up to this part
// of its interval early.
const beatParts = 8

func (sh *shard) beatWithin(d time.Duration) {
	switch {
	case sh.beat == nil:
		sh.every, sh.beat = d, time.AfterFunc(d, sh.listen)
	case d < sh.every:
		sh.every = d
		sh.beat.Reset(d)
	}
}

// listen looks for streams that were silent for long, and for clients that are.
func (sh *shard) listen() {
	sh.mu.Lock()
	streams := append([]*Stream(nil), sh.streams...)
	sh.mu.Unlock()
	defer func() {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if sh.beat != nil {
			sh.beat.Reset(sh.every)
		}
	}()
	now := sh.log.now()
	for _, st := range streams {
		if s := st.sub; s.heartbeat > 0 && s.silent(now, s.heartbeat-s.heartbeat/beatParts) {
			sh.mu.Lock()
			sh.queueLocked(st)
			sh.mu.Unlock()
		}
		if p, ok := st.conn.(Pinger); ok {
			p.Ping()
		}
	}
}
