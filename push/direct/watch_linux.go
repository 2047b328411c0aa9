package direct

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// watcher notices that peers leave, with one epoll instance for all parked
// connections: so none needs a goroutine that reads. It has a goroutine only
// while it watches something.
type watcher struct {
	mu    sync.Mutex
	file  *os.File // the epoll instance, itself polled by the runtime
	conns map[uint64]watched
	last  uint64
	runs  bool
}

var peers watcher

// watched is a connection that the watcher knows.
type watched interface {
	// descriptor calls use, if the connection is not closed.
	descriptor(use func(fd uintptr)) error
	// fired is called when what was waited for is there.
	fired()
}

// What is waited for, once: that the peer closed its side (a half-closed
// connection counts as gone), or that there is something to read, too.
const (
	leaving  = syscall.EPOLLRDHUP | syscall.EPOLLONESHOT
	readable = leaving | syscall.EPOLLIN
)

// add watches a connection, or goes on to. key is the connection's own.
func (w *watcher) add(c watched, key *uint64, interest uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *key != 0 {
		if w.conns[*key] != c {
			return net.ErrClosed
		}
		return w.control(c, *key, syscall.EPOLL_CTL_MOD, interest)
	}
	if err := w.open(); err != nil {
		return err
	}
	w.last++
	*key = w.last
	if err := w.control(c, *key, syscall.EPOLL_CTL_ADD, interest); err != nil {
		return err
	}
	w.conns[*key] = c
	if !w.runs {
		w.runs = true
		_ = w.file.SetReadDeadline(time.Time{})
		go w.run()
	}
	return nil
}

func (w *watcher) open() error {
	if w.file == nil {
		fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			return err
		}
		if err := syscall.SetNonblock(fd, true); err != nil {
			return err
		}
		w.file = os.NewFile(uintptr(fd), "epoll")
		w.conns = map[uint64]watched{}
	}
	return nil
}

func (w *watcher) control(c watched, key uint64, op int, interest uint32) error {
	ep, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	ev := syscall.EpollEvent{Events: interest, Fd: int32(uint32(key)), Pad: int32(uint32(key >> 32))}
	var errno error
	err = c.descriptor(func(fd uintptr) {
		_ = ep.Control(func(epfd uintptr) { errno = syscall.EpollCtl(int(epfd), op, int(fd), &ev) })
	})
	if err != nil {
		return err
	}
	return errno
}

// remove is called before the connection is closed.
func (w *watcher) remove(c watched, key *uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns[*key] != c {
		return
	}
	delete(w.conns, *key)
	_ = w.control(c, *key, syscall.EPOLL_CTL_DEL, 0) // the descriptor may have a double that stays open
	if len(w.conns) == 0 {
		_ = w.file.SetReadDeadline(time.Unix(1, 0)) // the goroutine ends
	}
}

func (w *watcher) run() {
	raw, err := w.file.SyscallConn()
	var events [128]syscall.EpollEvent
	for err == nil {
		n := 0
		err = raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events[:], 0)
			return n > 0
		})
		for _, c := range w.find(events[:max(n, 0)]) {
			c.fired()
		}
		if err != nil && w.goOn() {
			err = nil
		}
	}
}

// find returns the connections that events are about.
func (w *watcher) find(events []syscall.EpollEvent) (fired []watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range events {
		if c := w.conns[uint64(uint32(ev.Fd))|uint64(uint32(ev.Pad))<<32]; c != nil {
			fired = append(fired, c)
		}
	}
	return fired
}

// goOn reports whether there is something to watch again.
func (w *watcher) goOn() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) == 0 {
		w.runs = false
		return false
	}
	_ = w.file.SetReadDeadline(time.Time{})
	return true
}

// peerTimeout is how long data may stay unacknowledged. Heartbeats see to it
// that there is some, so a peer that vanished without a word is noticed.
const peerTimeout = 35 * time.Second

const tcpUserTimeout = 18 // TCP_USER_TIMEOUT of tcp(7), which package syscall lacks

// tune has the system give a peer up that acknowledges nothing.
func tune(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) { // without it, the system's own patience holds
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(peerTimeout.Milliseconds()))
	})
}
