package ws_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// Failure 1: the network is gone without a word; the kernel takes what is
// written, and nothing ever comes back.
func TestHalfOpenConnectionIsPingedAfter25sAndDeadAfter35s(t *testing.T) {
	for name, every := range map[string]time.Duration{"idle": time.Hour, "busy": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := overPipe(t)
				c := s.dial("", "")
				began, pings := time.Now(), make(chan time.Duration, 10)
				go func() {
					for f, err := parse(c.br); err == nil; f, err = parse(c.br) {
						if f.op == opPing {
							pings <- time.Since(began)
						}
					}
				}()
				feed := time.NewTicker(every)
				defer feed.Stop()
				for {
					select {
					case <-feed.C:
						s.publish("a", "x")
						continue
					case err := <-s.ended:
						if !errors.Is(err, ws.ErrGone) || !strings.Contains(err.Error(), "no sign of life for 35s") {
							t.Errorf("Serve: %v", err)
						}
					}
					break
				}
				if pinged := <-pings; pinged != 25*time.Second || time.Since(began) != 35*time.Second {
					t.Errorf("pinged after %v, ended after %v", pinged, time.Since(began))
				}
			})
		})
	}
}

func TestClientThatAnswersPingsStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.opts.Ping = 7 * time.Second
		c := s.v1("")
		for range 100 {
			began := time.Now()
			c.want(opPing, "")
			if d := time.Since(began); d != 7*time.Second {
				t.Fatalf("pinged after %v", d)
			}
			c.send(fin|opPong, "")
		}
	})
}

// Anything the client sends is a sign of life: it is not pinged meanwhile.
func TestClientThatTalksIsNotPinged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.opts.Actions = accepting
		c := s.v1("")
		for range 20 {
			time.Sleep(20 * time.Second)
			c.text(`{"action":"publish","data":1}`)
			c.reply("")
		}
	})
}

// Failure 18: who reads a byte a second would hold a batch for a day.
func TestReaderOfOneByteASecondIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.v1("")
		s.publish("a", strings.Repeat("x", 60<<10))
		began := time.Now()
		one := make([]byte, 1)
		for _, err := c.Read(one); err == nil; _, err = c.Read(one) {
			time.Sleep(time.Second)
		}
		err := s.end()
		if !errors.Is(err, ws.ErrGone) || !strings.Contains(err.Error(), "does not read") {
			t.Errorf("Serve: %v", err)
		}
		if d := time.Since(began); d < 22*time.Second || d > 31*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// A client that is slow but reads is neither cut off nor taken for dead, though
// its pong has to wait behind all that it has not read.
func TestSlowReaderIsNotTakenForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.dial("", "")
		s.publish("a", strings.Repeat("x", 1<<20)) // 16 pieces of 64 KiB, in 160 s
		buf := make([]byte, 6<<10)
		for n := 0; n+len(buf) <= 1<<20; n += len(buf) {
			if _, err := io.ReadFull(c.br, buf); err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			time.Sleep(time.Second)
		}
	})
}

// A client that stalls for good in the middle of a batch does not keep Serve
// when it closes, or the hub ends it.
func TestStalledReaderThatClosesIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.v1("")
		s.publish("a", strings.Repeat("x", 60<<10))
		synctest.Wait()
		began := time.Now()
		c.send(fin|opClose, "")
		if err := s.end(); !errors.Is(err, ws.ErrGone) {
			t.Errorf("Serve: %v", err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// Nor does one that stalls without a word, however long a write may take.
func TestStalledReaderThatIsSilentIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.opts.WriteTimeout = time.Hour
		s.v1("")
		s.publish("a", strings.Repeat("x", 60<<10))
		began := time.Now()
		if err := s.end(); !errors.Is(err, ws.ErrGone) || !strings.Contains(err.Error(), "no sign of life") {
			t.Errorf("Serve: %v", err)
		}
		if d := time.Since(began); d != 35*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// Half a ping holds nothing up.
func TestPingWithoutItsPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.dial("", "")
		began := time.Now()
		c.write(masked(fin|opPing, "payload")[:8])
		if err := s.end(); !errors.Is(err, ws.ErrGone) {
			t.Errorf("Serve: %v", err)
		}
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// sips reads at most 1 KiB at a time.
type sips struct{ io.Reader }

func (s sips) Read(b []byte) (int, error) { return s.Reader.Read(b[:min(len(b), 1<<10)]) }

// A pong never lands inside an event that takes many writes.
func TestPongNeverLandsInsideAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.dial("", "")
		c.br = bufio.NewReader(sips{c.Conn})
		s.publish("a", strings.Repeat("x", 8<<20))
		if _, err := c.br.Peek(1); err != nil { // it has begun
			t.Fatal(err)
		}
		c.write(bytes.Repeat(masked(fin|opPing, "p"), 50))
		for pongs := 0; pongs < 50; {
			if f := c.next(); f.op == opPong { // parse finds what is out of place
				pongs++
			}
		}
	})
}

// Many events that wait go out with one write for 64 KiB, each once.
func TestBatchGoesOutWithOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.dial("", "")
		synctest.Wait()
		events := make([]push.Event, 100)
		for i := range events {
			events[i] = push.Event{Topic: "a", Data: []byte(strings.Repeat("x", 100))}
		}
		if _, err := s.hub.Publish(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		// A net.Pipe hands over what one write has, and no more.
		buf := make([]byte, 64<<10)
		if n, err := c.Read(buf); n != 100*102 {
			t.Errorf("the first write had %d bytes, %v", n, err)
		}
	})
}
