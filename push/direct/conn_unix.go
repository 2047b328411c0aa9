//go:build unix

package direct

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

const supported = true

// Conn is a TCP connection that was taken over from an HTTP server. It
// implements push.Conn.
type Conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	timeout time.Duration
	gone    func(error)
	watched uint64

	// Of TryWrite, so that it allocates nothing:
	out []byte
	n   int
	err error
	try func(fd uintptr)
}

func newConn(tcp *net.TCPConn, timeout time.Duration) (*Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{TCPConn: tcp, raw: raw, timeout: timeout}
	c.try = c.tryWrite
	return c, nil
}

func (c *Conn) tryWrite(fd uintptr) { c.n, c.err = syscall.Write(int(fd), c.out) }

// TryWrite implements push.Conn. A short write says that the socket is full.
func (c *Conn) TryWrite(b []byte) (n int, err error) {
	c.out = b
	for {
		// Not raw.Write, which asks the poller first: a hub writes one at a time.
		if err = c.raw.Control(c.try); err != nil {
			break
		}
		if n, err = max(c.n, 0), c.err; !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	c.out = nil
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return 0, nil
	case err != nil:
		return n, os.NewSyscallError("write", err)
	}
	return n, nil
}

// piece is how much is written under one deadline, in bytes.
const piece = 64 << 10

// Write implements push.Conn: it waits, for each 64 KiB at most for the
// connection's timeout.
func (c *Conn) Write(b []byte) (n int, err error) {
	for p := range slices.Chunk(b, piece) {
		_ = c.SetWriteDeadline(time.Now().Add(c.timeout)) // Write tells
		m, err := c.TCPConn.Write(p)
		if n += m; err != nil {
			return n, err
		}
	}
	_ = c.SetWriteDeadline(time.Time{}) // TryWrite must not meet it
	return n, nil
}

// Close closes the connection; what was written goes out.
func (c *Conn) Close() error {
	peers.remove(c)
	return c.TCPConn.Close()
}

// left is called when the peer has closed its side.
func (c *Conn) left() {
	c.gone(errLeft)
	_ = c.TCPConn.Close() // frees a writer that waits for it
}
