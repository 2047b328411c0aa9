package ws_test

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/ws"
)

func TestDrainIsToldAndClosesWith1012(t *testing.T) {
	s := overTCP(t)
	c, plain := s.v1(""), s.dial("", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- s.hub.Shutdown(ctx) }()
	if d := c.told(push.CloseDrain); d.Retry < 1000 {
		t.Errorf("push.close %+v", d)
	}
	plain.closed(push.CloseDrain)
	if err := <-down; err != nil {
		t.Error("Shutdown:", err)
	}
}

// Clients that know no better than the code still get a sound frame.
func TestCloseReasonIsCutAndValid(t *testing.T) {
	for reason, want := range map[string]string{
		strings.Repeat("é", 100): strings.Repeat("é", 61),
		"bad \xFF":               "bad \uFFFD",
	} {
		s := overTCP(t)
		c := s.dial("", "")
		s.disconnect(&push.CloseError{Code: 4321, Reason: reason})
		if got := c.closed(4321); got != want {
			t.Errorf("%q became %q", reason, got)
		}
	}
}

func TestCloseCodeThatMustNotBeSent(t *testing.T) {
	for _, code := range []int{-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 70000} {
		s := overTCP(t)
		c := s.dial("", "")
		s.disconnect(&push.CloseError{Code: code})
		c.closed(1011)
	}
}

func (s *server) disconnect(why *push.CloseError) {
	for n := 0; n == 0; runtime.Gosched() {
		n = s.hub.Disconnect(func(*push.Subscription) bool { return true }, why)
	}
}

func TestClientsCloseIsAnsweredAtOnce(t *testing.T) {
	for _, x := range []struct{ sent, want string }{
		{"", ""},
		{"\x03\xE8bye", "\x03\xE8"},
		{"\x0F\xA1", "\x0F\xA1"},
		{"\x03\xE8\xFF", "\x03\xEFa reason that is not UTF-8"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := overPipe(t)
			c := s.v1("")
			began := time.Now()
			c.send(fin|opClose, x.sent)
			c.want(opClose, x.want)
			if err := s.end(); !errors.Is(err, ws.ErrGone) || websocket.CloseStatus(err) == -1 {
				t.Errorf("%q: Serve: %v", x.sent, err)
			}
			if d := time.Since(began); d > 0 {
				t.Errorf("%q: Serve took %v", x.sent, d)
			}
		})
	}
}

func TestBadCloseFrame(t *testing.T) {
	for _, payload := range []string{"\x03", "\x03\xED", "\x03\xE7"} { // too short, 1005, 999
		s := overTCP(t)
		c := s.v1("")
		c.send(fin|opClose, payload)
		c.told(1002)
	}
}

func TestClientThatVanishes(t *testing.T) {
	s := overTCP(t)
	c := s.v1("")
	_ = c.Close()
	if err := s.end(); !errors.Is(err, ws.ErrGone) {
		t.Error("Serve:", err)
	}
}

// A client that never answers a close frame holds nobody up.
func TestCloseFrameWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		c := s.v1("")
		began := time.Now()
		s.disconnect(nil)
		c.control(wire.Close)
		if f := c.next(); f.op != opClose {
			t.Fatal(f)
		}
		if end, ok := s.end().(*push.CloseError); !ok || end.Code != push.CloseForbidden {
			t.Error("Serve:", end)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("Serve took %v", d)
		}
	})
}

// What comes after the server's close frame is neither carried out nor
// answered.
func TestNothingFollowsTheCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) {
			t.Error("an action was carried out")
			return nil, nil
		})
		c := s.v1("")
		s.disconnect(nil)
		c.control(wire.Close)
		if f := c.next(); f.op != opClose {
			t.Fatal(f)
		}
		s.publish("a", "late")
		c.text(`{"action":"publish","data":1}`)
		c.send(fin|opPing, "late")
		c.send(fin|opClose, "\x03\xF0")
		if f, err := parse(c.br); err == nil {
			t.Errorf("frame %d %q after the close frame", f.op, f.payload)
		}
		_ = s.end()
	})
}

// An action that was under way is not answered after the close frame.
func TestNoReplyFollowsTheCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		finish := make(chan struct{})
		s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) {
			<-finish
			return nil, nil
		})
		c := s.v1("")
		c.text(`{"action":"publish","data":1}`)
		synctest.Wait()
		s.disconnect(nil)
		c.control(wire.Close)
		if f := c.next(); f.op != opClose {
			t.Fatal(f)
		}
		close(finish)
		if f, err := parse(c.br); err == nil {
			t.Errorf("frame %d %q after the close frame", f.op, f.payload)
		}
		_ = s.end()
	})
}

func TestRequestsContextEndsTheConnectionWith1012(t *testing.T) {
	s := overTCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = func(context.Context) context.Context { return ctx }
	c, plain := s.v1(""), s.dial("", "")
	cancel()
	c.told(push.CloseDrain)
	plain.closed(push.CloseDrain)
	if end, ok := s.end().(*push.CloseError); !ok || end.Code != push.CloseDrain {
		t.Error("Serve:", end)
	}
}

// A handler that panics ends its own connection only.
func TestPanicInActionsEndsThatConnectionOnly(t *testing.T) {
	for name, f := range map[string]func(){"panic": func() { panic("oh no") }, "Goexit": runtime.Goexit} {
		s := overTCP(t)
		s.opts.Actions = doFunc(func(_ context.Context, a *ws.Action) (any, error) {
			if a.Event.Name == "bomb" {
				f()
			}
			return nil, nil
		})
		c, other := s.v1(""), s.v1("")
		c.text(`{"action":"publish","event":"bomb","data":1}`)
		c.told(1011)
		if end, ok := s.end().(*push.CloseError); !ok || end.Code != 1011 {
			t.Error("Serve:", end)
		}
		other.text(`{"action":"publish","ref":"1","data":1}`)
		other.reply("1")
		if log := s.log.String(); name == "panic" && (!strings.Contains(log, "oh no") || !strings.Contains(log, "close_test.go")) {
			t.Errorf("log: %s", log)
		}
	}
}

// A result that is no JSON is the server's fault, not the connection's.
func TestResultThatDoesNotEncode(t *testing.T) {
	s := overTCP(t)
	s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) { return make(chan int), nil })
	c := s.v1("")
	c.text(`{"action":"publish","ref":"1","data":1}`)
	if _, status := c.reply("1"); status != 500 {
		t.Error("status", status)
	}
}

// A client that sends on after the server's close frame can still read it: the
// connection is not reset under it.
func TestCloseFrameSurvivesWhatIsUnread(t *testing.T) {
	s := overTCP(t)
	c := s.dial("", "")
	c.write(append(masked(fin|opText, strings.Repeat("x", 65<<10)), make([]byte, 1<<20)...))
	if f := c.next(); f.op != opClose || binary.BigEndian.Uint16(f.payload) != push.CloseTooBig {
		t.Errorf("frame %d %q", f.op, f.payload)
	}
}
