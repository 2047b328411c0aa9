package ws_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/ws"
)

// talk is what a client may send, with everything that control frames may lie
// between, and what has not come back yet.
type talk struct {
	send  []byte
	pongs []string
	refs  []string
}

func newTalk() *talk {
	x := &talk{}
	add := func(first byte, payload string) { x.send = append(x.send, masked(first, payload)...) }
	action := func() string {
		ref := fmt.Sprint(len(x.refs))
		x.refs = append(x.refs, ref)
		return fmt.Sprintf(`{"action":"publish","ref":%q,"topic":"b","data":1}`, ref)
	}
	ping := func(payload string) {
		add(fin|opPing, payload)
		x.pongs = append(x.pongs, payload)
	}
	ping("first")
	add(fin|opText, action())
	ping("")
	ping(strings.Repeat("x", 125))
	add(fin|opPong, "unasked")
	a := action()
	add(opText, a[:7])
	ping("inside")
	add(0, a[7:20])
	add(fin|opPong, "")
	add(fin, a[20:])
	add(fin|opText, action())
	ping("last")
	return x
}

// read reads up to a text frame that contains until, or ("") until everything
// is answered, and checks what comes on the way.
func (x *talk) read(c *client, until string) {
	c.t.Helper()
	for until != "" || len(x.pongs)+len(x.refs) > 0 {
		f := c.next()
		switch text := string(f.payload); {
		case f.op == opPong && len(x.pongs) > 0 && text == x.pongs[0]:
			x.pongs = x.pongs[1:]
		case f.op != opText:
			c.t.Fatalf("frame %d %q, want pongs %q", f.op, text, x.pongs)
		case until != "" && strings.Contains(text, until):
			return
		case !strings.Contains(text, `"push.reply"`):
		case len(x.refs) == 0 || !strings.Contains(text, fmt.Sprintf(`"ref":%q`, x.refs[0])):
			c.t.Fatalf("%s, want %q", text, x.refs)
		default:
			x.refs = x.refs[1:]
		}
	}
}

// TestFramesThatComeInPieces cuts what a client says in two at every byte, so
// that whoever reads stops and starts anywhere, also in the middle of a header.
func TestFramesThatComeInPieces(t *testing.T) {
	s := started(t)
	s.opts.Actions, s.opts.Rate, s.opts.Burst = accepting, 1000, 1000
	for cut := range len(newTalk().send) + 1 {
		x := newTalk()
		c := s.v1("")
		c.write(x.send[:cut])
		s.publish("a", "round trip") // in which the first part is read
		x.read(c, "round trip")
		c.write(x.send[cut:])
		x.read(c, "")
		_ = c.Close()
		if err := s.end(); !errors.Is(err, ws.ErrGone) {
			t.Fatal(err)
		}
	}
}

// TestIdleConnectionHasNoGoroutine has clients talk and answer pings, and then
// looks.
func TestIdleConnectionHasNoGoroutine(t *testing.T) {
	s := started(t)
	s.opts.Actions = accepting
	const clients = 50
	before := runtime.NumGoroutine()
	for range clients {
		c, x := s.v1(""), newTalk()
		<-s.returned
		c.write(x.send)
		x.read(c, "")
	}
	for runtime.NumGoroutine() > before+clients/2 { // until those that have just answered are gone; else the test times out
		runtime.Gosched()
	}
}

func TestSilentClientIsPingedAndGivenUpWithoutAReader(t *testing.T) {
	s := started(t)
	s.opts.SetPongWait(20 * time.Millisecond)
	s.opts.Ping = 20 * time.Millisecond
	c := s.v1("")
	ping := false
	for !ping {
		ping = c.next().op == opPing
	}
	err := s.end()
	if !errors.Is(err, ws.ErrGone) || !strings.Contains(err.Error(), "no sign of life") {
		t.Error(err)
	}
}

// A client that answers is not given up, however often it is pinged.
func TestClientThatAnswersStaysWithoutAReader(t *testing.T) {
	s := started(t)
	s.opts.Ping = 10 * time.Millisecond
	c := s.v1("")
	for range 10 {
		f := c.next()
		for f.op != opPing {
			f = c.next()
		}
		c.send(fin|opPong, string(f.payload))
	}
	s.publish("a", "still here")
	(&talk{}).read(c, "still here")
}

// What a client may do wrong between two messages must end as it does within one.
func TestBrokenControlFramesWithoutAReader(t *testing.T) {
	for name, x := range map[string]struct {
		bytes []byte
		code  int
	}{
		"not masked":       {[]byte{fin | opPing, 0}, 1002},
		"too long":         {append([]byte{fin | opPing, 0x80 | 126, 0, 126, 0, 0, 0, 0}, make([]byte, 126)...), 1002},
		"in fragments":     {masked(opPing, "x"), 1002},
		"a reserved bit":   {masked(fin|0x40|opPing, "x"), 1002},
		"a flood":          {[]byte(strings.Repeat(string(masked(fin|opPing, "x")), 100)), 1008},
		"a flood of pongs": {[]byte(strings.Repeat(string(masked(fin|opPong, "")), 100)), 1008},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t)
			c := s.v1("")
			c.write(x.bytes)
			for {
				f := c.next()
				if f.op != opClose {
					continue
				}
				if got := int(f.payload[0])<<8 | int(f.payload[1]); got != x.code {
					t.Errorf("closed with %d, want %d", got, x.code)
				}
				return
			}
		})
	}
}
