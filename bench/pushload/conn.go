package main

import (
	"bytes"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type state uint8

const (
	stDialing state = iota
	stHead          // request sent, response head not complete
	stReady         // WebSocket is up, waiting for the -ready text
	stLive
	stDead
)

// conn is one subscriber (or, with pub set, one publisher connection).
type conn struct {
	fd    int
	idx   int
	st    state
	stall bool
	pub   *pubConn

	acc []byte // head, ready text or publish response being collected

	body body
	ws   wsDecoder
	mark marker

	tail  []byte // decoded stream, last bytes (only with keepTail)
	last  string // last event id
	epoch string
	h304  [][2]string // poll cursor headers
}

// loader is the event loop: one epoll instance, no goroutine per connection.
type loader struct {
	cfg    *config
	ep     int
	conns  []*conn
	target syscall.SockaddrInet4
	buf    []byte
	evs    []syscall.EpollEvent
	fds    []*conn // by fd

	established int
	failed      int
	failWhy     string
	died        int
	deliveries  uint64 // unique deliveries
	dups, ooo   uint64
	lat         hist
	record      bool
	lastRecv    int64
	maxGap      int64
	now         int64
	keepTail    bool // event ids must be found in the streams
	idRe        *regexp.Regexp
	epochRe     *regexp.Regexp
}

func newLoader(cfg *config) (*loader, error) {
	a, err := net.ResolveTCPAddr("tcp4", cfg.addr)
	if err != nil {
		return nil, err
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address: pushload loads this machine only", a)
	}
	l := &loader{cfg: cfg, buf: make([]byte, 256<<10), evs: make([]syscall.EpollEvent, 1024), fds: make([]*conn, 65536)}
	l.keepTail = cfg.test == "reconnect" || cfg.bodyCursor()
	l.target.Port = a.Port
	copy(l.target.Addr[:], a.IP.To4())
	if l.idRe, err = regexp.Compile(cfg.idRe); err != nil {
		return nil, fmt.Errorf("-id-re: %w", err)
	}
	if cfg.epochRe != "" {
		if l.epochRe, err = regexp.Compile(cfg.epochRe); err != nil {
			return nil, fmt.Errorf("-epoch-re: %w", err)
		}
	}
	l.ep, err = syscall.EpollCreate1(0)
	return l, err
}

func rawRead(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), e
}

func rawWrite(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), e
}

func (l *loader) expand(c *conn, s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	t := 0
	if l.cfg.topics > 1 {
		t = c.idx % l.cfg.topics
	}
	return strings.NewReplacer("{i}", strconv.Itoa(c.idx), "{topic}", strconv.Itoa(t), "{last}", c.last, "{epoch}", c.epoch).Replace(s)
}

// dial starts a non-blocking connect.
func (l *loader) dial(c *conn) {
	open := l.socket
	if l.cfg.tls {
		open = l.tunnel
	}
	c.acc, c.body, c.ws, c.tail = c.acc[:0], body{}, wsDecoder{}, nil
	c.mark.carryN = 0
	fd, err := open(c)
	if err != nil {
		l.fail(c, err.Error())
		return
	}
	c.fd, c.st = fd, stDialing
	for fd >= len(l.fds) {
		l.fds = append(l.fds, make([]*conn, len(l.fds))...)
	}
	l.fds[fd] = c
	_ = syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT, Fd: int32(fd)})
}

// socket returns a socket that connects.
func (l *loader) socket(c *conn) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if c.stall {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
	}
	if c.pub == nil {
		// Eight source addresses, ports chosen per 4-tuple at connect.
		_ = syscall.SetsockoptInt(fd, syscall.SOL_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, 1)
		_ = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + c.idx%8)}})
	} else {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_TCP, syscall.TCP_NODELAY, 1)
	}
	if err = syscall.Connect(fd, &l.target); err != nil && err != syscall.EINPROGRESS {
		_ = syscall.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (l *loader) fail(c *conn, why string) {
	if c.st != stDead {
		if c.st == stLive {
			l.died++
		} else {
			l.failed++
		}
		l.failWhy = why
	}
	l.close(c)
}

func (l *loader) close(c *conn) {
	if c.fd > 0 {
		l.fds[c.fd] = nil
		_ = syscall.Close(c.fd)
		c.fd = 0
	}
	c.st = stDead
}

// shut closes all connections.
func (l *loader) shut() {
	for _, c := range l.fds {
		if c != nil {
			l.close(c)
		}
	}
	_ = syscall.Close(l.ep)
}

func (l *loader) write(c *conn, b []byte) {
	for len(b) > 0 {
		n, e := rawWrite(c.fd, b)
		if e == syscall.EAGAIN {
			time.Sleep(time.Millisecond)
			continue
		}
		if e != 0 {
			l.fail(c, e.Error())
			return
		}
		b = b[n:]
	}
}

func (l *loader) request(c *conn) []byte {
	cfg := l.cfg
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n", l.expand(c, cfg.path), cfg.addr, cfg.addr)
	switch cfg.mode {
	case "ws":
		b.WriteString("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	case "sse":
		b.WriteString("Accept: text/event-stream\r\nCache-Control: no-cache\r\n")
		if c.last != "" && cfg.resumeHeader != "" {
			b.WriteString(l.expand(c, cfg.resumeHeader) + "\r\n")
		}
	}
	for _, h := range cfg.headers {
		b.WriteString(l.expand(c, h) + "\r\n")
	}
	for _, h := range c.h304 {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func (l *loader) connected(c *conn) {
	if e, _ := syscall.GetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_ERROR); e != 0 {
		l.fail(c, syscall.Errno(e).Error())
		return
	}
	_ = syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)})
	c.st = stHead
	if c.pub != nil {
		c.st = stLive
		c.pub.up = true
		return
	}
	l.write(c, l.request(c))
	if c.st == stHead && l.headLater() {
		l.established++
	}
}

// headLater reports whether the response head comes with the first event only.
func (l *loader) headLater() bool { return l.cfg.mode == "poll" || l.cfg.noHead }

func (l *loader) live(c *conn) {
	c.st = stLive
	if !l.headLater() {
		l.established++
	}
	if c.stall {
		_ = syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_DEL, c.fd, nil)
	}
}

// wait handles the events of at most ms milliseconds.
func (l *loader) wait(ms int) {
	n, err := syscall.EpollWait(l.ep, l.evs, ms)
	if err != nil {
		return
	}
	for i := range n {
		c := l.fds[l.evs[i].Fd]
		switch {
		case c == nil:
		case c.st == stDialing:
			l.connected(c)
		default:
			l.read(c)
		}
	}
}

func (l *loader) read(c *conn) {
	n, e := rawRead(c.fd, l.buf)
	switch {
	case e == syscall.EAGAIN || e == syscall.EINTR:
	case e != 0:
		l.fail(c, e.Error())
	case n == 0:
		l.fail(c, "closed by server")
	default:
		l.now = time.Now().UnixNano()
		l.feed(c, l.buf[:n])
	}
}

func (l *loader) feed(c *conn, b []byte) {
	if c.pub != nil {
		c.pub.feed(b)
		return
	}
	if c.st == stHead {
		c.acc = append(c.acc, b...)
		i := bytes.Index(c.acc, []byte("\r\n\r\n"))
		if i < 0 {
			return
		}
		head, rest := string(c.acc[:i]), append([]byte(nil), c.acc[i+4:]...)
		c.acc = c.acc[:0]
		if !l.head(c, head) {
			return
		}
		b = rest
	}
	switch {
	case l.cfg.mode == "ws":
		l.feedWS(c, b)
	case c.body.chunked:
		l.feedChunked(c, b)
	case c.body.poll:
		l.feedLength(c, b)
	default:
		l.data(c, b)
	}
}
