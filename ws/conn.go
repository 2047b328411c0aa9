package ws

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/direct"
)

const (
	piece      = 64 << 10              // how much is written under one deadline, in bytes
	patience   = 2 * time.Second       // how long the end of a connection may take
	blocked    = 10 * time.Millisecond // a write that took longer had to wait for the client
	readSize   = 512                   // of the buffer for reading, in bytes
	headerSize = 16                    // the same, where another buffer lies below it while there is something to read
	aheadSize  = 4 << 10               // of that one
	drainSize  = 16 << 20              // how much is read and thrown away at the end, in bytes
)

// conn is the connection below coder's. coder reads through it. Everything
// that is written is written by us, in one step that nothing can come between:
// the frames of a batch, a pong, a reply.
type conn struct {
	net.Conn // nil before the handshake
	opts     *Options
	born     time.Time

	stream  atomic.Pointer[push.Stream] // set while the hub writes; then nobody else does
	lock    chan struct{}               // held while writing
	renew   time.Duration               // when the write deadline is to move; guarded by lock
	closed  atomic.Bool                 // nothing is written any more; set with lock held
	hurried atomic.Bool                 // there is little time left for what is being written
	cut     atomic.Bool                 // coder reads no more
	failure atomic.Pointer[error]

	heard  atomic.Int64  // when there was the last sign of life, by now
	pinger *time.Timer   // nil where the hub writes
	pinged time.Duration // when the hub was to send the last ping; of Ping

	// Where the hub writes, nobody reads while there is nothing to read:
	direct *direct.Conn
	silent func() // the client has given no sign of life for too long
	kick   func() // the connection is broken, which whoever reads is to see

	// Of the reading goroutine:
	br       *bufio.Reader    // coder's
	early    []byte           // what was read before it was asked for: first by net/http
	ahead    *[]byte          // what early is in, to be given back
	raw      int64            // bytes read
	mark     int64            // of these, up to the end of the last message
	controls bucket           // pings and pongs
	fault    *push.CloseError // what the client did
	lost     error            // how the connection broke
}

func newConn() *conn {
	return &conn{lock: make(chan struct{}, 1), controls: newBucket(controlRate, controlBurst)}
}

// buffers are coder's, which writes nothing. The reader gets its size when it is
// known what is below it.
func (c *conn) buffers() *bufio.ReadWriter {
	c.br = bufio.NewReaderSize(c, 16)
	return bufio.NewReadWriter(c.br, bufio.NewWriterSize(c, 16))
}

// take takes over a hijacked connection, and what was read from it. If the
// connection is the system's own the hub may write it. net/http's buffers, of 4 KB
// each, would stay reachable from its goroutine as long as that runs.
func (c *conn) take(nc net.Conn, rw *bufio.ReadWriter, opts *Options, hubWrites bool) {
	c.Conn, c.opts, c.born = nc, opts, time.Now()
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c.early = slices.Clone(early)
	size := readSize
	if hubWrites {
		if c.direct = direct.New(nc, opts.WriteTimeout); c.direct != nil {
			size = headerSize
		}
	}
	*rw.Reader = *bufio.NewReaderSize(http.NoBody, 16)
	*rw.Writer = *bufio.NewWriterSize(io.Discard, 16)
	*c.br = *bufio.NewReaderSize(c, size)
}

// now is the time since the connection began.
func (c *conn) now() time.Duration { return time.Since(c.born) }

// write writes complete frames. It does not keep b.
func (c *conn) write(b []byte) error {
	if st := c.stream.Load(); st != nil && st.Inject(b, true) {
		return nil
	}
	c.lock <- struct{}{}
	defer c.unlock()
	return c.writeLocked(b)
}

func (c *conn) unlock() { <-c.lock }

func (c *conn) writeLocked(b []byte) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	for p := range slices.Chunk(b, piece) {
		began := c.extend()
		if _, err := c.Conn.Write(p); err != nil {
			return c.writeFailed(err)
		}
		if now := c.now(); now-began > blocked {
			c.heard.Store(int64(now)) // it made room
		}
	}
	return nil
}

// writeFailed ends the connection, which may have got half a frame; the reading
// goroutine notices.
func (c *conn) writeFailed(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the client does not read: %w", err)
	}
	err = c.fail(err)
	c.closed.Store(true)
	_ = c.Conn.Close()
	if c.kick != nil {
		c.kick()
	}
	return err
}

// fail notes how the connection broke, and returns how it broke first.
func (c *conn) fail(err error) error {
	c.failure.CompareAndSwap(nil, &err)
	return *c.failure.Load()
}

// extend moves the write deadline once a quarter of it has passed, so that a
// busy stream does not pay for it with every write.
func (c *conn) extend() (now time.Duration) {
	now = c.now()
	if now < c.renew || c.hurried.Load() {
		return now
	}
	c.renew = now + c.opts.WriteTimeout/4
	_ = c.SetWriteDeadline(c.born.Add(now + c.opts.WriteTimeout))
	if c.hurried.Load() { // since the question above
		c.hurry()
	}
	return now
}

// lift takes the write deadline away, which the hub's writers must not meet.
func (c *conn) lift() {
	c.renew = 0
	if c.hurried.Load() {
		return
	}
	_ = c.SetWriteDeadline(time.Time{})
	if c.hurried.Load() { // since the question above
		c.hurry()
	}
}

// hurry bounds what is being written, and all that is written from now on.
func (c *conn) hurry() {
	c.hurried.Store(true)
	_ = c.SetWriteDeadline(time.Now().Add(patience))
}

// writeClose writes a close frame, after which nothing is written. What the
// client sends once it has read the frame must find closed set.
func (c *conn) writeClose(frame []byte) {
	c.hurry()
	c.lock <- struct{}{}
	defer c.unlock()
	if c.closed.Swap(true) {
		return
	}
	if _, err := c.Conn.Write(frame); err != nil {
		_ = c.writeFailed(err)
	}
}

// drain lets the client read the close frame: a connection that is closed with
// something unread is reset, and what the client has not read yet is lost.
func (c *conn) drain() {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.CopyN(io.Discard, c.Conn, drainSize)
}

// Write is called by coder, for close frames only: pings and pongs are written
// by conn, and it is for session to say how the connection ends.
func (c *conn) Write(b []byte) (int, error) { return len(b), nil }

// Close is called by coder when it is done with reading.
func (c *conn) Close() error {
	c.cut.Store(true)
	return c.SetReadDeadline(time.Unix(1, 0))
}

// Read is called by coder, in the reading goroutine.
func (c *conn) Read(p []byte) (n int, err error) {
	if c.fault == nil && c.raw-c.mark > 2*c.opts.MaxMessage+4<<10 {
		c.fault = &push.CloseError{Code: push.ClosePolicy, Reason: "a message in too many fragments"}
	}
	if c.fault != nil {
		return 0, c.fault
	}
	if len(c.early) == 0 && c.direct != nil && len(p) < aheadSize {
		err = c.readAhead()
	}
	if len(c.early) > 0 {
		n = copy(p, c.early)
		c.early = c.early[n:]
	} else if err == nil {
		n, err = c.hear(p)
	}
	if err != nil {
		c.lost = err
	}
	c.raw += int64(n)
	return n, err
}

var aheads = sync.Pool{New: func() any { b := make([]byte, aheadSize); return &b }}

func (c *conn) readAhead() error {
	if c.ahead == nil {
		c.ahead = aheads.Get().(*[]byte)
	}
	n, err := c.hear(*c.ahead)
	c.early = (*c.ahead)[:n]
	return err
}

// emptied reports whether all that was read was used, and then gives the buffer
// for it back.
func (c *conn) emptied() bool {
	if len(c.early) > 0 || c.br.Buffered() > 0 {
		return false
	}
	c.early = nil
	if c.ahead != nil {
		aheads.Put(c.ahead)
		c.ahead = nil
	}
	return true
}

// hear reads while there are signs of life.
func (c *conn) hear(p []byte) (int, error) {
	for {
		dead := time.Duration(c.heard.Load()) + c.opts.Ping + c.opts.pongWait
		_ = c.SetReadDeadline(c.born.Add(dead))
		if c.cut.Load() {
			return 0, net.ErrClosed
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.heard.Store(int64(c.now()))
			return n, nil
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if dead = time.Duration(c.heard.Load()) + c.opts.Ping + c.opts.pongWait; c.now() >= dead {
			return 0, fmt.Errorf("no sign of life for %v: %w", c.opts.Ping+c.opts.pongWait, err)
		}
	}
}
