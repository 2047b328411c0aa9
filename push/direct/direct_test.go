//go:build linux

package direct_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/direct"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn is what both kinds of connection can do.
type conn interface {
	push.Conn
	io.Closer
}

// both runs a test for both kinds of connection.
func both(t *testing.T, test func(t *testing.T, pair func(time.Duration) (conn, *net.TCPConn))) {
	t.Run("writer", func(t *testing.T) {
		test(t, func(timeout time.Duration) (conn, *net.TCPConn) { return pair(t, timeout) })
	})
	t.Run("conn", func(t *testing.T) {
		test(t, func(timeout time.Duration) (conn, *net.TCPConn) {
			nc, peer := sockets(t)
			c := direct.New(nc, timeout)
			if c == nil {
				t.Fatal("not able")
			}
			t.Cleanup(func() { _ = c.Close() })
			return c, peer
		})
	})
}

// pair returns both ends of a connection with small buffers.
func pair(tb testing.TB, timeout time.Duration) (*direct.Writer, *net.TCPConn) {
	tb.Helper()
	nc, peer := sockets(tb)
	c := direct.NewWriter(nc, timeout)
	if c == nil {
		tb.Fatal("not able")
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c, peer
}

func sockets(tb testing.TB) (nc net.Conn, peer *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	nc, err = l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	peer = dialed.(*net.TCPConn)
	_ = nc.(*net.TCPConn).SetWriteBuffer(16 << 10)
	_ = peer.SetReadBuffer(16 << 10)
	tb.Cleanup(func() { _ = peer.Close() })
	return nc, peer
}

// watch returns what Watch says, at most twice.
func watch(tb testing.TB, c *direct.Writer) chan error {
	tb.Helper()
	gone := make(chan error, 2)
	if err := c.Watch(func(err error) { gone <- err }); err != nil {
		tb.Fatal(err)
	}
	return gone
}

func told(tb testing.TB, gone chan error) {
	tb.Helper()
	select {
	case err := <-gone:
		if err == nil {
			tb.Error("no error")
		}
	case <-time.After(10 * time.Second):
		tb.Fatal("nobody noticed")
	}
}

// ended waits until the watcher has nothing to do any more.
func ended(tb testing.TB) {
	tb.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		n, running := direct.Watched()
		if n == 0 && !running {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%d connections are watched, running: %v", n, running)
		}
		runtime.Gosched()
	}
}

func TestPeerThatLeavesIsNoticedOnce(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closes":      (*net.TCPConn).Close,
		"half-closes": (*net.TCPConn).CloseWrite,
		"resets": func(c *net.TCPConn) error {
			_ = c.SetLinger(0)
			return c.Close()
		},
		"has sent what nobody reads": func(c *net.TCPConn) error {
			_, _ = c.Write(make([]byte, 4<<10))
			return c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := pair(t, time.Second)
			gone := watch(t, c)
			if err := leave(peer); err != nil {
				t.Fatal(err)
			}
			told(t, gone)
			_ = c.Close()
			ended(t)
			if len(gone) > 0 {
				t.Error("noticed twice")
			}
		})
	}
}

func TestPeerThatLeftBeforeTheWatchIsNoticed(t *testing.T) {
	nc, peer := sockets(t)
	_ = peer.Close()
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // it has arrived
		t.Fatal(err)
	}
	c := direct.NewWriter(nc, time.Second)
	defer func() { _ = c.Close() }()
	told(t, watch(t, c))
}

func TestPeerThatLeavesFreesAWriteThatWaits(t *testing.T) {
	c, peer := pair(t, time.Hour)
	gone := watch(t, c)
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 16<<20))
		done <- err
	}()
	if _, err := io.ReadFull(peer, make([]byte, 1<<10)); err != nil {
		t.Fatal(err)
	}
	_ = peer.CloseWrite() // a reset would free it by itself
	told(t, gone)
	if err := <-done; err == nil {
		t.Error("written")
	}
}

func TestCloseOfOursIsNobodysLeave(t *testing.T) {
	c, peer := pair(t, time.Second)
	gone := watch(t, c)
	_ = c.Close()
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	ended(t)
	if len(gone) > 0 {
		t.Error(<-gone)
	}
}

// Whoever closes a connection does not wait for a client that does not read.
func TestCloseFreesAWriteThatWaits(t *testing.T) {
	both(t, func(t *testing.T, pair func(time.Duration) (conn, *net.TCPConn)) {
		c, peer := pair(time.Hour)
		done := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 16<<20))
			done <- err
		}()
		if _, err := io.ReadFull(peer, make([]byte, 64<<10)); err != nil { // more than the first try
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("written")
		}
		for what, err := range map[string]error{"TryWrite": second(c.TryWrite([]byte("x"))), "Write": second(c.Write([]byte("x"))), "Close": c.Close()} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s of a closed connection: %v", what, err)
			}
		}
	})
}

func second(_ int, err error) error { return err }

// Where no descriptor is left, the connection is still good for somebody else.
func TestWithoutADescriptorTheConnectionStaysAsItIs(t *testing.T) {
	nc, peer := sockets(t)
	defer func() { _ = nc.Close() }()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	c := direct.NewWriter(nc, time.Second)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if c != nil {
		t.Fatal("a descriptor out of nothing")
	}
	_, _ = nc.Write([]byte("x"))
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestWatchOfAClosedConnectionFails(t *testing.T) {
	c, _ := pair(t, time.Second)
	_ = c.Close()
	if err := c.Watch(func(error) { t.Error("called") }); err == nil {
		t.Error("no error")
	}
	ended(t)
}

// Descriptors are used again at once; what is watched is the connection.
func TestDescriptorThatIsUsedAgainIsNotTakenForTheOldOne(t *testing.T) {
	for range 50 {
		old, oldPeer := pair(t, time.Second)
		gone := watch(t, old)
		_ = old.Close()
		c, _ := pair(t, time.Second)
		again := watch(t, c)
		_ = oldPeer.Close()
		other, otherPeer := pair(t, time.Second)
		third := watch(t, other)
		_ = otherPeer.Close()
		told(t, third) // whatever came before was looked at, too
		if len(gone)+len(again) > 0 {
			t.Fatal("the wrong one has left")
		}
		_, _ = c.Close(), other.Close()
	}
	ended(t)
}

func fds(tb testing.TB) int {
	tb.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Skip(err)
	}
	return len(list)
}

// Half of the connections are closed here and at the peer's at the same time.
func TestThousandConnectionsLeaveNothingBehind(t *testing.T) {
	c, _ := pair(t, time.Second) // the epoll instance stays
	watch(t, c)
	_ = c.Close()
	ended(t)
	runtime.GC()
	before := fds(t)
	for range 5 { // the goroutine starts again each time
		var all sync.WaitGroup
		for i := range 200 {
			c, peer := pair(t, time.Second)
			gone := watch(t, c)
			all.Go(func() { _ = peer.Close() })
			all.Go(func() {
				if i%2 == 0 {
					if err := <-gone; err == nil {
						t.Error("gone without a reason")
					}
				}
				_ = c.Close()
			})
		}
		all.Wait()
		ended(t)
	}
	if after := fds(t); after > before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
}

func TestTryWriteNeverWaits(t *testing.T) { both(t, tryWriteNeverWaits) }

func tryWriteNeverWaits(t *testing.T, pair func(time.Duration) (conn, *net.TCPConn)) {
	c, peer := pair(time.Second)
	b := make([]byte, 64<<10)
	total := 0
	for {
		n, err := c.TryWrite(b)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	read := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, peer)
		read <- n
	}()
	if n, err := c.Write(b); n != len(b) || err != nil { // waits
		t.Fatal(n, err)
	}
	<-time.After(time.Second) // the deadline of that write
	n, err := c.TryWrite([]byte("x"))
	if err != nil {
		t.Fatal("the deadline of a write that waited is left behind: ", err)
	}
	_ = c.Close()
	if got := <-read; got != int64(total+len(b)+n) {
		t.Errorf("%d bytes of %d", got, total+len(b)+n)
	}
}

func TestTryWriteAllocatesNothing(t *testing.T) { both(t, tryWriteAllocatesNothing) }

func tryWriteAllocatesNothing(t *testing.T, pair func(time.Duration) (conn, *net.TCPConn)) {
	c, peer := pair(time.Hour)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	b := []byte("event")
	if n := testing.AllocsPerRun(100, func() { _, _ = c.TryWrite(b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWriteToAStuckPeerEndsInTime(t *testing.T) { both(t, writeToAStuckPeerEndsInTime) }

func writeToAStuckPeerEndsInTime(t *testing.T, pair func(time.Duration) (conn, *net.TCPConn)) {
	c, _ := pair(50 * time.Millisecond)
	began := time.Now()
	if _, err := c.Write(make([]byte, 16<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Error("it took ", d)
	}
}

// A deadline for a whole frame would cut a large one on a slow line.
func TestLargeWriteToASlowPeerThatReadsIsLeftAlone(t *testing.T) {
	both(t, largeWriteToASlowPeerThatReadsIsLeftAlone)
}

func largeWriteToASlowPeerThatReadsIsLeftAlone(t *testing.T, pair func(time.Duration) (conn, *net.TCPConn)) {
	const timeout, size = time.Second, 2 << 20
	c, peer := pair(timeout)
	go func() {
		tick := time.NewTicker(timeout / 16)
		defer tick.Stop()
		for {
			<-tick.C
			if _, err := io.CopyN(io.Discard, peer, 64<<10); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	if n, err := c.Write(make([]byte, size)); n != size || err != nil {
		t.Errorf("%d bytes in %v: %v", n, time.Since(began), err)
	}
	if d := time.Since(began); d < timeout {
		t.Fatalf("the peer was not slow enough to try anything: %v; enlarge size", d)
	}
}

func TestWhatCanBeTakenOver(t *testing.T) {
	type hijacker struct {
		http.ResponseWriter
		http.Hijacker
	}
	able := hijacker{ResponseWriter: httptest.NewRecorder()}
	request := func(method, body string) *http.Request {
		return httptest.NewRequest(method, "/", strings.NewReader(body))
	}
	chunked, secure, two := request("GET", ""), request("GET", ""), request("GET", "")
	chunked.ContentLength, chunked.TransferEncoding = -1, []string{"chunked"}
	secure.TLS = &tls.ConnectionState{}
	two.ProtoMajor = 2
	old := request("GET", "")
	old.ProtoMinor = 0
	for name, x := range map[string]struct {
		w    http.ResponseWriter
		r    *http.Request
		want bool
	}{
		"plain": {able, request("GET", ""), true}, "HTTP/1.0": {able, old, true}, "body": {able, request("GET", "x"), false},
		"chunks": {able, chunked, false}, "TLS": {able, secure, false}, "HTTP/2": {able, two, false},
		"no hijacker": {httptest.NewRecorder(), request("GET", ""), false},
	} {
		if got := direct.Able(x.w, x.r); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWrappedConnectionIsNotTaken(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	c, _ := sockets(t)
	defer func() { _ = c.Close() }()
	for what, nc := range map[string]net.Conn{"a pipe": a, "a wrapped connection": struct{ net.Conn }{c}} {
		if direct.New(nc, time.Second) != nil || direct.NewWriter(nc, time.Second) != nil {
			t.Errorf("%s: what is above the socket would be passed by", what)
		}
	}
}
