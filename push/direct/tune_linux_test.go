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
	c := direct.NewWriter(nc, time.Second)
	if c == nil {
		t.Fatal("not taken")
	}
	defer c.Close()
	ms, err := c.Option(syscall.IPPROTO_TCP, 18)
	if err != nil {
		t.Fatal(err)
	}
	if ms != 35_000 {
		t.Fatalf("TCP_USER_TIMEOUT is %d ms", ms)
	}
}
