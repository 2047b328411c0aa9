package rest_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// Failure 27: headers are bounded by the server's ReadHeaderTimeout, bodies by
// the mount.
func TestABodyThatDripsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, rest.Config{}, &http.Server{})
		began := time.Now()
		status, c := drip(t, s, "100", time.Second)
		defer c.Close()
		if took := time.Since(began); status != http.StatusRequestTimeout || took != 30*time.Second {
			t.Errorf("%d after %v", status, took)
		}
	})
}

// The bound is lifted with the body: it must not end a request whose handler
// takes its time.
func TestTheBoundOfABodyDoesNotEndItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, rest.Config{}, &http.Server{})
		s.hub.Handle("a", func(ctx context.Context, _ *push.Inbound) error {
			time.Sleep(time.Minute)
			return ctx.Err()
		})
		status, c := drip(t, s, "20", time.Second)
		defer c.Close()
		if status != http.StatusCreated {
			t.Error(status)
		}
	})
}

// drip posts a body of a length, a byte at a time.
func drip(t *testing.T, s *site, length string, pace time.Duration) (status int, c net.Conn) {
	t.Helper()
	c, err := s.Client().Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("POST /push/topics/a HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + "\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range 20 {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(pace)
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode, c
}
