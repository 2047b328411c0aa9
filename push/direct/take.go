// Package direct takes connections over from an HTTP server, for a hub's
// writers to write to: without a goroutine, and without the server's buffers.
package direct

import (
	"errors"
	"net"
	"net/http"
	"time"
)

var errLeft = errors.New("direct: the peer closed the connection")

// Able reports whether the connection under a request can be taken over: plain
// HTTP/1.1 without a body, on a platform on which it pays.
func Able(w http.ResponseWriter, r *http.Request) bool {
	if !supported || r.TLS != nil || r.ProtoMajor != 1 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return false
	}
	_, ok := w.(http.Hijacker)
	return ok
}

// New makes a Conn of a hijacked connection, or returns nil if it is no plain
// TCP connection. A write that has to wait may take timeout.
func New(nc net.Conn, timeout time.Duration) *Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || !supported {
		return nil
	}
	c, err := newConn(tcp, timeout)
	if err != nil {
		return nil
	}
	_ = tcp.SetDeadline(time.Time{}) // the server's own
	tune(c)
	return c
}

// Watch calls gone, once, when the peer closes its side; a half-closed
// connection counts as gone.
func (c *Conn) Watch(gone func(error)) error {
	c.gone = gone
	return peers.add(c, leaving)
}

// Await calls ready, once, in a goroutine of its own, when there is something
// to read, the end included. It is for connections without Watch, and is to be
// called again after each time, with the same function. It fails once the
// connection is closed by Close.
func (c *Conn) Await(ready func()) error {
	c.ready = ready
	return peers.add(c, readable)
}

// fired is called when what was waited for is there.
func (c *Conn) fired() {
	if c.ready != nil {
		go c.ready()
		return
	}
	c.gone(errLeft)
	_ = c.TCPConn.Close() // frees a writer that waits for it
}
