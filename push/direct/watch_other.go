//go:build !linux

package direct

import (
	"net"
	"syscall"
)

type watcher struct{}

var peers watcher

type watched interface{ fired() }

// What is waited for, once: see watch_linux.go.
const leaving, readable = 0, 1

// add has a goroutine wait: for anything to read, or for the end of it.
func (*watcher) add(c watched, _ *uint64, interest uint32) error {
	go func() {
		if conn, ok := c.(*Conn); ok && interest == readable {
			asked := false
			_ = conn.raw.Read(func(uintptr) bool { // it waits between the first call and the second
				ready := asked
				asked = true
				return ready
			})
			c.fired()
			return
		}
		var b [1]byte
		for {
			if _, err := c.(net.Conn).Read(b[:]); err != nil {
				c.fired()
				return
			}
		}
	}()
	return nil
}

func (*watcher) remove(watched, *uint64) {}

func tune(syscall.RawConn) {}
