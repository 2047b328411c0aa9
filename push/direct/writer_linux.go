package direct

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Writer is a TCP connection that was taken over from an HTTP server and is
// only written. Nothing but its descriptor is kept: package net's own view of a
// connection is half a kilobyte. It implements push.Conn.
type Writer struct {
	mu      sync.Mutex // no descriptor is used that may have become another's
	fd      int32      // -1: closed
	waits   bool       // a Write waits
	timeout time.Duration
	gone    func(error) // of Watch
	watched uint64
}

// NewWriter makes a Writer of a hijacked connection, or returns nil if it is no
// plain TCP connection, or no descriptor can be had: then nc stays as it is. A
// write that has to wait may take timeout.
func NewWriter(nc net.Conn, timeout time.Duration) *Writer {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	tune(raw)
	fd := -1
	if err := raw.Control(func(own uintptr) { fd, err = double(own) }); err != nil || fd < 0 {
		return nil
	}
	_ = tcp.Close() // the connection goes on with its other descriptor
	return &Writer{fd: int32(fd), timeout: timeout}
}

// double returns another descriptor of the same socket.
func double(fd uintptr) (int, error) {
	n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func (c *Writer) descriptor(use func(fd uintptr)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	use(uintptr(c.fd))
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
	_ = c.descriptor(shut) // frees a writer that waits for it
}

func shut(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }

// TryWrite implements push.Conn. A short write says that the socket is full.
func (c *Writer) TryWrite(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	for {
		n, err := syscall.Write(int(c.fd), b)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// Write implements push.Conn: it waits, for each 64 KiB at most for the
// connection's timeout. Close ends it.
func (c *Writer) Write(b []byte) (int, error) {
	n, err := c.TryWrite(b)
	if err != nil || n == len(b) {
		return n, err
	}
	nc, err := c.waiting()
	if err != nil {
		return n, err
	}
	m, err := writeAll(nc, b[n:], c.timeout)
	c.mu.Lock()
	c.waits = false
	c.mu.Unlock()
	_ = nc.Close()
	return n + m, err
}

// waiting returns the connection as one of package net, which can wait, with a
// descriptor of its own.
func (c *Writer) waiting() (nc net.Conn, err error) {
	var f *os.File
	if closed := c.descriptor(func(own uintptr) {
		var fd int
		if fd, err = double(own); err == nil {
			f = os.NewFile(uintptr(fd), "tcp")
			c.waits = true
		}
	}); closed != nil || err != nil {
		return nil, errors.Join(closed, err)
	}
	defer func() { _ = f.Close() }()
	return net.FileConn(f)
}

// Close closes the connection; what was written goes out.
func (c *Writer) Close() error {
	peers.remove(c, &c.watched)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	if c.waits {
		shut(uintptr(c.fd))
	}
	err := os.NewSyscallError("close", syscall.Close(int(c.fd)))
	c.fd = -1
	return err
}
