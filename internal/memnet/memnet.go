// Package memnet is a network in memory for tests: it works in a bubble of
// testing/synctest, and a write blocks until the other side reads.
package memnet

import (
	"context"
	"net"
	"sync"
)

// Net is a listener and the way to reach it. It is safe for concurrent use.
type Net struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

var _ net.Listener = (*Net)(nil)

// New returns a network without connections. In a bubble it must be made
// there.
func New() *Net { return &Net{conns: make(chan net.Conn), done: make(chan struct{})} }

// Accept implements net.Listener.
func (n *Net) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (n *Net) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

// Addr implements net.Listener.
func (n *Net) Addr() net.Addr { return loopback }

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// conn is a pipe whose peer has an address.
type conn struct{ net.Conn }

// RemoteAddr implements net.Conn.
func (conn) RemoteAddr() net.Addr { return loopback }

// Dial connects, whatever network and address are: it is an
// http.Transport.DialContext.
func (n *Net) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- conn{server}:
		return client, nil
	case <-n.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
