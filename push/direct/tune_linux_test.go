package direct_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push/direct"
)

// A peer that vanished without a word never closes: the system has to give it
// up, within the time in which clients give a silent server up.
func TestAPeerThatAcknowledgesNothingIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if direct.New(nc, time.Second) == nil {
		t.Fatal("not taken")
	}
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	var errno error
	if err := raw.Control(func(fd uintptr) { ms, errno = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 18) }); err != nil || errno != nil {
		t.Fatal(err, errno)
	}
	if ms != 35_000 {
		t.Fatalf("TCP_USER_TIMEOUT is %d ms", ms)
	}
}
