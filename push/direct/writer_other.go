//go:build !linux

package direct

import (
	"net"
	"time"
)

// Writer is a TCP connection that was taken over from an HTTP server and is
// only written. It implements push.Conn.
type Writer struct {
	*Conn
	gone    func(error)
	watched uint64
}

// NewWriter makes a Writer of a hijacked connection, or returns nil if it is no
// plain TCP connection. A write that has to wait may take timeout.
func NewWriter(nc net.Conn, timeout time.Duration) *Writer {
	if c := New(nc, timeout); c != nil {
		return &Writer{Conn: c}
	}
	return nil
}

// Watch calls gone, once, when the peer closes its side; a half-closed
// connection counts as gone.
func (c *Writer) Watch(gone func(error)) error {
	c.gone = gone
	return peers.add(c, &c.watched, leaving)
}

func (c *Writer) fired() {
	c.gone(errLeft)
	_ = c.TCPConn.Close() // frees a writer that waits for it
}
