package sse_test

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// Failure 6.
func TestServersTimeoutsDoNotEndTheStream(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.use(proto)
				w.server.ReadTimeout, w.server.WriteTimeout = time.Second, time.Second
				s := w.start().open("")
				if s.Proto[:6] != proto[:6] {
					t.Fatal(s.Proto)
				}
				s.want(wire.Open, "*")
				for i := range 5 { // no heartbeats: idle for longer than any deadline
					time.Sleep(10 * time.Minute)
					w.publishText(strconv.Itoa(i))
					s.want("message", strconv.Itoa(i))
				}
			})
		})
	}
}

// use has the server and the client speak a protocol.
func (w *world) use(proto string) {
	var p http.Protocols
	p.SetHTTP1(proto == "HTTP/1.1")
	p.SetUnencryptedHTTP2(proto == "HTTP/2")
	w.server.Protocols = &p
	w.client.Transport.(*http.Transport).Protocols = &p
}

// Failure 17.
func TestReaderThatStopsIsCutAndTheOthersGoOn(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.use(proto)
				w.start()
				stuck, healthy := w.open(""), w.open("")
				stuck.want(wire.Open, "*")
				healthy.want(wire.Open, "*")
				begun := time.Now()
				for range 100 { // more than HTTP/2's windows
					w.publishText(strings.Repeat("x", 100<<10))
					healthy.want("message", "*")
				}
				if d := time.Since(begun); d > 0 {
					t.Errorf("the healthy reader waited %v", d)
				}
				if err := <-w.ended; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
				if d := time.Since(begun); d < 20*time.Second || d > 30*time.Second {
					t.Errorf("cut after %v", d)
				}
			})
		})
	}
}

// Failure 18.
func TestReaderOfOneByteASecondIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start()
		c := w.rawOpen()
		w.publishText(strings.Repeat("x", 4096))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for one := make([]byte, 1); ; time.Sleep(time.Second) {
				if _, err := c.Read(one); err != nil {
					return
				}
			}
		}()
		begun := time.Now()
		if err := <-w.ended; !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "30s") {
			t.Error(err)
		}
		if d := time.Since(begun); d > 30*time.Second {
			t.Errorf("cut after %v", d)
		}
		_ = c.Close()
		<-done
	})
}

// A deadline for a whole event would cut a large one on a slow line.
func TestSlowReaderThatMakesProgressIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opts = &sse.Options{WriteTimeout: 20 * time.Second}
		c := w.start().rawOpen()
		synctest.Wait()
		w.publishText(strings.Repeat("x", 1<<20), "last")
		buf := make([]byte, 4096)
		for got := ""; !strings.HasSuffix(got, "data: last\n\n"); time.Sleep(time.Second) {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err, <-w.ended)
			}
			got = got[len(got)/2:] + string(buf[:n])
		}
	})
}

func TestWriteTimeoutOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opts = &sse.Options{WriteTimeout: 3 * time.Second}
		w.start().rawOpen()
		begun := time.Now()
		if err := <-w.ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 3*time.Second {
			t.Error(err, time.Since(begun))
		}
	})
}

// A wrapper may have no deadlines; the stream works all the same.
func TestWriterWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.ServeHTTP(flushOnly{rw, rw.(http.Flusher)}, r)
		})
		s := w.start().open("")
		s.want(wire.Open, "*")
		w.publish(push.Event{Data: []byte("1")})
		s.want("message", "1")
	})
}

type flushOnly struct {
	http.ResponseWriter
	http.Flusher
}
