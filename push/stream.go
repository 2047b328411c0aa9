package push

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Conn is a connection that a hub's writers write to. At most one goroutine at
// a time writes.
type Conn interface {
	// TryWrite writes what the connection takes of b without waiting. An
	// error means that the connection is lost.
	TryWrite(b []byte) (n int, err error)
	// Write writes all of b, for which it may wait, within a time of its own.
	Write(b []byte) (n int, err error)
}

// Pinger is a Conn that looks whether its client is still there. It needs no
// timer of its own.
type Pinger interface {
	Conn
	// PingEvery returns how often Ping is to be called, at least.
	PingEvery() time.Duration
	// Ping is called by one goroutine at a time, as long as the stream lasts
	// and perhaps once more. It must not wait.
	Ping()
}

// Frames is the form in which a stream goes over the wire. It is shared by all
// streams of that form.
type Frames interface {
	// Encoding is the form of events.
	Encoding() *Encoding
	// AppendOpen appends what a stream begins with.
	AppendOpen(dst []byte, s *Subscription) ([]byte, error)
	// AppendBatch appends all of a batch but its messages; a heartbeat if it
	// is empty. An error ends the stream.
	AppendBatch(dst []byte, s *Subscription, b *Batch) ([]byte, error)
}

// ErrGone ends a stream whose client has left.
var ErrGone = errors.New("push: the client is gone")

// Stream is a subscription that is written by the hub: it has no goroutine and,
// while there is nothing to write, no buffer. Next must not be called any more.
type Stream struct {
	sub    *Subscription
	conn   Conn
	frames Frames
	ended  func(error)
	shard  *shard

	// Guarded by shard.mu:
	at     int   // index in shard.streams
	mail   *mail // what others left for it; nil while they never did
	queued bool  // in the shard's queue, or not started
	held   bool  // waits for its own connection, or for a page
	left   bool  // the stream is over

	opened bool // of the goroutine that serves the stream

	cohort *cohort // guarded by both log.mu and shard.mu
	place  int     // in cohort.members
}

// mail is what others leave for a stream, and what they wait for. Most streams
// never have any. It is guarded by shard.mu.
type mail struct {
	inject []byte        // control bytes of the transport
	gone   error         // why the stream is to end
	room   chan struct{} // closed when inject is taken or the stream is over
	cancel func()        // of a page that is being read
	paged  *Batch        // a page that was read, for the goroutine that serves the stream
}

func (st *Stream) mailLocked() *mail {
	if st.mail == nil {
		st.mail = &mail{}
	}
	return st.mail
}

// NewStream prepares the subscription to be written to a connection by the hub.
// When the stream is over it calls ended, once and in a goroutine of its own:
// with a *CloseError or ErrClosed if it is for the server to end the connection
// (the last frame is complete), else with an error that is ErrGone. ended
// closes the connection and the subscription.
func (s *Subscription) NewStream(c Conn, f Frames, ended func(error)) *Stream {
	return &Stream{sub: s, conn: c, frames: f, ended: ended, shard: s.hub.shards.pick(s.reader.log), queued: true}
}

// Start has the hub write the stream, from the subscription's position on.
func (st *Stream) Start() {
	s, l := st.sub, st.sub.reader.log
	s.reader.stream.Store(st)
	l.mu.Lock()
	if s.beat != nil { // the shard looks after the silence
		s.beat.Stop()
		s.beat = nil
	}
	l.mu.Unlock()
	st.shard.add(st)
}

// maxInject bounds the control bytes that wait for a connection.
const maxInject = 8 << 10

// Inject has bytes written between two frames, soon: a pong, a reply. It copies
// b. While too many wait already it waits for the connection to take them, if
// wait is set, or else does nothing. It reports whether b will be written, as
// far as that can be known.
func (st *Stream) Inject(b []byte, wait bool) bool {
	sh := st.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	in := st.mailLocked()
	for len(in.inject) > 0 && len(in.inject)+len(b) > maxInject {
		if !wait || st.left {
			return false
		}
		if in.room == nil {
			in.room = make(chan struct{})
		}
		room := in.room
		sh.mu.Unlock()
		<-room
		sh.mu.Lock()
	}
	if st.left {
		return false
	}
	in.inject = append(in.inject, b...)
	sh.queueLocked(st)
	return true
}

// Gone says that the connection was lost. It may be called before Start.
func (st *Stream) Gone(err error) {
	sh := st.shard
	sh.mu.Lock()
	in := st.mailLocked()
	if in.gone == nil {
		in.gone = goneBecause(err)
	}
	if in.cancel != nil {
		in.cancel()
	}
	sh.queueLocked(st)
	sh.mu.Unlock()
}

func goneBecause(err error) error { return fmt.Errorf("%w: %w", ErrGone, err) }

// page reads what lies below the window, which may take a while.
func (st *Stream) page(ctx context.Context) {
	b, do, err := st.sub.page(ctx)
	switch {
	case err != nil:
	case do == doWait:
		pause(ctx, nil, pagePause)
	case do == doReturn:
		st.resume(nil, &b)
		return
	}
	st.resume(err, nil)
}

// finish writes the rest of a frame, for which it waits.
func (st *Stream) finish(rest []byte) {
	_, err := st.conn.Write(rest)
	if err != nil {
		err = goneBecause(err)
	}
	st.resume(err, nil)
}

func (st *Stream) resume(err error, paged *Batch) {
	sh := st.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st.held = false
	if in := st.mail; in != nil && in.cancel != nil {
		in.cancel()
		in.cancel = nil
	}
	if in := st.mailLocked(); err != nil && in.gone == nil {
		in.gone = err
	}
	if paged != nil {
		st.mail.paged = paged
	}
	sh.queueLocked(st)
}

// leave is leaveCohort for who holds no lock.
func (st *Stream) leave() {
	l := st.sub.reader.log
	l.mu.Lock()
	st.leaveCohort()
	l.mu.Unlock()
}

// rewind moves the position back to the last event that is or will be written
// completely.
func (s *Subscription) rewind(pos ID) {
	r, l := &s.reader, s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	r.unpark(l.head)
	if pos.Epoch == r.pos.Epoch && pos.Seq < r.pos.Seq {
		r.pos = pos
	}
}

// silent reports whether nothing was written for d, and makes a heartbeat due.
func (s *Subscription) silent(now, d time.Duration) bool {
	l := s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	said := s.lastSaid
	if st := s.reader.stream.Load(); st.cohort != nil {
		said = max(said, st.cohort.said)
	}
	if s.closed || now-said < d {
		return false
	}
	s.beatDue = true
	return true
}

// ending returns why the stream is to end, if it is.
func (s *Subscription) ending() error {
	l := s.reader.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.endLocked()
}

func (in *mail) makeRoom() {
	if in != nil && in.room != nil {
		close(in.room)
		in.room = nil
	}
}
