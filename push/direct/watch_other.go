//go:build !linux

package direct

type watcher struct{}

var peers watcher

// What is waited for, once: see watch_linux.go.
const leaving, readable = 0, 1

// add has a goroutine wait: for anything to read, or for the end of it.
func (*watcher) add(c *Conn, interest uint32) error {
	go func() {
		if interest == readable {
			asked := false
			_ = c.raw.Read(func(uintptr) bool { // it waits between the first call and the second
				ready := asked
				asked = true
				return ready
			})
			c.fired()
			return
		}
		var b [1]byte
		for {
			if _, err := c.TCPConn.Read(b[:]); err != nil {
				c.fired()
				return
			}
		}
	}()
	return nil
}

func (*watcher) remove(*Conn) {}

func tune(*Conn) {}
