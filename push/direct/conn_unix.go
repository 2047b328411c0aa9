//go:build unix

package direct

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const supported = true

// Conn is a TCP connection that was taken over from an HTTP server, to be read,
// too. It implements push.Conn.
type Conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	timeout time.Duration
	ready   func() // of Await
	watched uint64
}

// Await calls ready, once, in a goroutine of its own, when there is something
// to read, the end included. It is to be called again after each time, with the
// same function. It fails once the connection is closed by Close.
func (c *Conn) Await(ready func()) error {
	c.ready = ready
	return peers.add(c, &c.watched, readable)
}

func (c *Conn) fired() { go c.ready() }

func (c *Conn) descriptor(use func(fd uintptr)) error { return c.raw.Control(use) }

func newConn(tcp *net.TCPConn, timeout time.Duration) (*Conn, error) {
	raw, err := tcp.SyscallConn()
	return &Conn{TCPConn: tcp, raw: raw, timeout: timeout}, err
}

// attempt is what one TryWrite needs, which is nothing that a connection would
// have to keep while it is idle.
type attempt struct {
	b   []byte
	n   int
	err error
	do  func(fd uintptr)
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.do = func(fd uintptr) { a.n, a.err = syscall.Write(int(fd), a.b) }
	return a
}}

// TryWrite implements push.Conn. A short write says that the socket is full.
func (c *Conn) TryWrite(b []byte) (n int, err error) {
	a := attempts.Get().(*attempt)
	a.b = b
	for again := true; again; again = err == nil && a.err != nil && errors.Is(a.err, syscall.EINTR) {
		err = c.raw.Control(a.do) // not raw.Write, which asks the poller first: a hub writes one at a time
	}
	n = max(a.n, 0)
	if a.err != nil && !errors.Is(a.err, syscall.EAGAIN) {
		err = os.NewSyscallError("write", a.err)
	}
	a.b, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	return n, err
}

// piece is how much is written under one deadline, in bytes.
const piece = 64 << 10

// Write implements push.Conn: it waits, for each 64 KiB at most for the
// connection's timeout.
func (c *Conn) Write(b []byte) (n int, err error) {
	n, err = writeAll(c.TCPConn, b, c.timeout)
	_ = c.SetWriteDeadline(time.Time{}) // TryWrite must not meet it
	return n, err
}

func writeAll(nc net.Conn, b []byte, timeout time.Duration) (n int, err error) {
	for p := range slices.Chunk(b, piece) {
		_ = nc.SetWriteDeadline(time.Now().Add(timeout)) // Write tells
		m, err := nc.Write(p)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close closes the connection; what was written goes out.
func (c *Conn) Close() error {
	peers.remove(c, &c.watched)
	return c.TCPConn.Close()
}
