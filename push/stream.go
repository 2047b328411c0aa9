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
	at     int // index in shard.streams; guarded by shard.mu

	queued bool          // in the shard's queue, or not started; guarded by shard.mu
	inject []byte        // control bytes of the transport; guarded by shard.mu
	gone   error         // why the stream is to end; guarded by shard.mu
	held   bool          // waits for its own connection, or for a page; guarded by shard.mu
	left   bool          // the stream is over; guarded by shard.mu
	room   chan struct{} // closed when inject is taken or the stream is over; guarded by shard.mu
	cancel func()        // of a page that is being read; guarded by shard.mu

	cohort *cohort // guarded by both log.mu and shard.mu
	place  int     // in cohort.members

	// Of the goroutine that serves the stream, or holds it:
	opened bool
	paged  *Batch
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
	for len(st.inject) > 0 && len(st.inject)+len(b) > maxInject {
		if !wait || st.left {
			return false
		}
		if st.room == nil {
			st.room = make(chan struct{})
		}
		room := st.room
		sh.mu.Unlock()
		<-room
		sh.mu.Lock()
	}
	if st.left {
		return false
	}
	st.inject = append(st.inject, b...)
	sh.queueLocked(st)
	return true
}

// Gone says that the connection was lost. It may be called before Start.
func (st *Stream) Gone(err error) {
	sh := st.shard
	sh.mu.Lock()
	if st.gone == nil {
		st.gone = goneBecause(err)
	}
	if st.cancel != nil {
		st.cancel()
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
		st.paged = &b
	}
	st.resume(err)
}

// finish writes the rest of a frame, for which it waits.
func (st *Stream) finish(rest []byte) {
	_, err := st.conn.Write(rest)
	if err != nil {
		err = goneBecause(err)
	}
	st.resume(err)
}

func (st *Stream) resume(err error) {
	sh := st.shard
	sh.mu.Lock()
	st.held = false
	if st.cancel != nil {
		st.cancel()
		st.cancel = nil
	}
	if err != nil && st.gone == nil {
		st.gone = err
	}
	sh.queueLocked(st)
	sh.mu.Unlock()
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
	r, l := s.reader, s.reader.log
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

func (st *Stream) makeRoomLocked() {
	if st.room != nil {
		close(st.room)
		st.room = nil
	}
}
