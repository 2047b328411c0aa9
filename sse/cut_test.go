package sse_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// cutConn ends with err after left bytes were read.
type cutConn struct {
	net.Conn
	left int
	read int
	err  error
}

func (c *cutConn) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	c.read += n
	return n, err
}

// Failure 2: a connection that is cut after any byte of the response, its head
// included, makes the client resume with nothing lost and nothing doubled.
func TestCutAtAnyByteLosesAndDoublesNothing(t *testing.T) {
	for _, cause := range []error{io.EOF, syscall.ECONNRESET} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t).start()
				w.publish(push.Event{Data: []byte("1")}, push.Event{Name: "lines", Data: []byte("a\r\nb\n")}, push.Event{Name: "empty"},
					push.Event{Name: "binary", ContentType: "image/png", Data: []byte("\xff\n")}, push.Event{Data: []byte("é")})
				all := &cutConn{left: 1 << 20}
				want := readCut(t, w, all)
				for offset := range all.read {
					got := readCut(t, w, &cutConn{left: offset, err: cause})
					if !slices.Equal(got, want) {
						t.Fatalf("cut after %d bytes: got %q, want %q", offset, got, want)
					}
				}
				t.Log(all.read, "offsets")
			})
		})
	}
}

// readCut reads the world's events with a client whose first connection is
// first.
func readCut(t *testing.T, w *world, first *cutConn) (got []string) {
	t.Helper()
	dials := 0
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := w.net.Dial(ctx, "", "")
		if dials++; dials == 1 && err == nil {
			first.Conn = c
			return first, nil
		}
		return c, err
	}}
	defer tr.CloseIdleConnections()
	c := sse.NewClient("http://memory/", &sse.ClientOptions{HTTPClient: &http.Client{Transport: tr}, LastEventID: "0"})
	for ev, err := range c.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := ev.Open(); ok {
			continue
		}
		got = append(got, fmt.Sprintf("%s %s %q", ev.ID, ev.Name, ev.Data))
		if ev.Name == wire.Gap || string(ev.Data) == "é" {
			break
		}
	}
	return got
}
