//go:build linux

package direct

import "syscall"

// Watched returns how many connections are watched, and whether a goroutine
// does it.
func Watched() (n int, running bool) {
	peers.mu.Lock()
	defer peers.mu.Unlock()
	return len(peers.conns), peers.runs
}

// Option returns an option of the connection's socket.
func (c *Writer) Option(level, option int) (v int, err error) {
	closed := c.descriptor(func(fd uintptr) { v, err = syscall.GetsockoptInt(int(fd), level, option) })
	if closed != nil {
		err = closed
	}
	return v, err
}
