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
	tune(c.raw)
	return c
}
