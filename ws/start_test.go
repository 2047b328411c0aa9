package ws_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/ws"
)

// starting serves by Start.
type starting struct {
	*server
	returned chan struct{} // a handler returned
}

func (s *starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { s.returned <- struct{}{} }()
	sub, err := s.hub.Subscribe(r.Context(), []string{"a"}, push.AfterCursor(r.URL.Query().Get("after")), push.WithHeartbeat(s.heartbeat))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	opts := s.opts
	if s.actions != nil {
		opts.Actions = s.actions(sub)
	}
	err = ws.Start(w, r, sub, &opts, func(err error) {
		sub.Close()
		s.ended <- err
	})
	if err != nil {
		sub.Close()
		s.t.Error(err)
	}
}

// started is a server on the loopback interface that uses Start; its sockets
// take little.
func started(t *testing.T) *starting {
	s := &starting{newServer(t), make(chan struct{}, 10000)}
	ts := httptest.NewUnstartedServer(s)
	ts.Listener = smallBuffers{ts.Listener}
	ts.Start()
	s.connect = func() net.Conn {
		c, err := net.Dial("tcp", ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(8 << 10)
		return c
	}
	t.Cleanup(func() {
		kill(s.hub)
		ts.Close()
	})
	return s
}

type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		_ = c.(*net.TCPConn).SetWriteBuffer(8 << 10)
	}
	return c, err
}

// eachWriter runs a test over both ways to write a connection.
func eachWriter(t *testing.T, f func(t *testing.T, s *server)) {
	t.Run("hub", func(t *testing.T) { f(t, started(t).server) })
	t.Run("handler", func(t *testing.T) { f(t, overTCP(t)) })
}

func TestStartReturnsAtOnce(t *testing.T) {
	s := started(t)
	s.v1("")
	<-s.returned
	if len(s.ended) > 0 {
		t.Error(s.end())
	}
}

func TestEveryWriterOpensResumesAndAnswers(t *testing.T) {
	eachWriter(t, func(t *testing.T, s *server) {
		s.opts.Actions, s.heartbeat = accepting, 20*time.Millisecond
		c := s.v1("")
		s.publish("a", "1", "2")
		one := c.envelopeOf("1")
		c.envelopeOf("2")
		c.text(`{"action":"publish","ref":"r","data":1}`)
		for e := c.envelope(); e.Event != wire.Reply; e = c.envelope() {
		}
		c.control(wire.Heartbeat)
		_ = c.Close()
		if err := s.end(); !errors.Is(err, ws.ErrGone) {
			t.Error(err)
		}
		c = s.v1("?after=" + one)
		c.envelopeOf("2")
		c = s.v1("?after=17")
		c.control(wire.Gap)
	})
}

// envelopeOf reads up to an event and returns its id.
func (c *client) envelopeOf(data string) string {
	c.t.Helper()
	for {
		e := c.envelope()
		if e.Event == wire.Heartbeat {
			continue
		}
		if got := strings.Trim(string(e.Data), `"`); got != data {
			c.t.Fatalf("%s %s, want %s", e.Event, e.Data, data)
		}
		return e.ID
	}
}

func TestEveryWriterTellsTheEnd(t *testing.T) {
	eachWriter(t, func(t *testing.T, s *server) {
		c, plain := s.v1(""), s.dial("", "")
		s.disconnect(&push.CloseError{Code: push.CloseDrain, Reason: "bye"})
		c.told(push.CloseDrain)
		plain.closed(push.CloseDrain)
		_, _ = s.end(), s.end()
	})
}

func TestEveryWriterAnswersTheClientsClose(t *testing.T) {
	eachWriter(t, func(t *testing.T, s *server) {
		c := s.v1("")
		c.send(fin|opClose, "\x03\xE8bye")
		c.want(opClose, "\x03\xE8")
		if err := s.end(); !errors.Is(err, ws.ErrGone) {
			t.Error(err)
		}
	})
}

func TestEveryWriterEndsAConnectionWhoseActionPanics(t *testing.T) {
	eachWriter(t, func(t *testing.T, s *server) {
		s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) { panic("oh no") })
		c := s.v1("")
		c.text(`{"action":"publish","data":1}`)
		c.told(1011)
	})
}

// push.open comes first, also if the client talks before it has heard of us.
func TestEarlyActionIsAnsweredAfterOpen(t *testing.T) {
	for range 30 {
		s := started(t)
		s.opts.Actions = accepting
		c := s.dial("push.v1", "", masked(fin|opText, `{"action":"publish","ref":"1","data":1}`)...)
		c.control(wire.Open)
		c.reply("1")
		_ = c.Close()
		_ = s.end()
	}
}

// Nor does a client that leaves at once upset the hub.
func TestClientThatClosesWithItsHandshake(t *testing.T) {
	s := started(t)
	for range 100 {
		c := s.dial("push.v1", "", masked(fin|opClose, "\x03\xE8")...)
		if err := s.end(); !errors.Is(err, ws.ErrGone) {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

// A flood of events, pings and actions toward a reader of small sips: whatever
// the socket takes, frames do not interleave, and nothing is lost or doubled.
func TestFramesNeverInterleaveUnderAFlood(t *testing.T) {
	s := started(t)
	s.opts.Actions = accepting
	s.opts.Rate, s.opts.Burst = 1e6, 1e6
	c := s.v1("")
	c.br.Reset(sips{c.Conn})
	const events, talks = 200, 50
	go func() {
		for i := range events {
			if _, err := s.hub.Publish(context.Background(), push.Event{Topic: "a", Data: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i*7%3000))}); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		for i := range talks {
			_, _ = c.Write(masked(fin|opPing, fmt.Sprint(i)))
			_, _ = c.Write(masked(fin|opText, fmt.Sprintf(`{"action":"publish","ref":"%d","data":1}`, i)))
		}
	}()
	event, pong, answer := 0, 0, 0
	for event < events || pong < talks || answer < talks {
		f := c.next() // finds what is out of place
		var e wire.Envelope
		switch {
		case f.op == opPong && string(f.payload) == fmt.Sprint(pong):
			pong++
		case f.op != opText || json.Unmarshal(f.payload, &e) != nil:
			t.Fatalf("after event %d: frame %d %.80q", event, f.op, f.payload)
		case e.Event == wire.Reply && e.Ref == fmt.Sprint(answer):
			answer++
		case strings.HasPrefix(string(e.Data), fmt.Sprintf(`"%d `, event)):
			event++
		default:
			t.Fatalf("after event %d: %s %.80s", event, e.Event, e.Data)
		}
	}
}

// stalling is the size of a frame that fills both sockets.
const stalling = 128 << 10

// stall publishes more than the sockets take, and waits until it is under way.
func (s *server) stall(c *client) {
	s.t.Helper()
	s.publish("a", strings.Repeat("x", stalling))
	if _, err := c.br.Peek(1); err != nil {
		s.t.Fatal(err)
	}
}

// A client that sends a close frame in the middle of a frame of ours, and then
// reads on, gets the whole frame and then the answer.
func TestCloseInAHalfWrittenFrameIsAnsweredAfterIt(t *testing.T) {
	s := started(t)
	c := s.dial("", "")
	s.stall(c)
	c.send(fin|opClose, "\x03\xE8")
	if f := c.next(); f.op != opText || len(f.payload) != stalling {
		t.Fatalf("frame %d of %d bytes", f.op, len(f.payload))
	}
	c.want(opClose, "\x03\xE8")
	if err := s.end(); !errors.Is(err, ws.ErrGone) {
		t.Error(err)
	}
}

// One that does not read on is let go soon, and never gets a close frame in
// the middle of a frame.
func TestStalledClientThatClosesIsLetGoWithoutAFrameInAFrame(t *testing.T) {
	s := started(t)
	c := s.dial("", "")
	s.stall(c)
	began := time.Now()
	c.send(fin|opClose, "\x03\xE8")
	if err := s.end(); !errors.Is(err, ws.ErrGone) {
		t.Error(err)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	rest, _ := io.ReadAll(c.br)
	if i := strings.LastIndex(string(rest), "x"); i != len(rest)-1 {
		t.Errorf("%q in the middle of a frame", rest[i+1:])
	}
}

func TestStuckClientIsEndedInItsTime(t *testing.T) {
	s := started(t)
	s.opts.WriteTimeout = 200 * time.Millisecond
	c := s.dial("", "")
	s.stall(c)
	if err := s.end(); !errors.Is(err, ws.ErrGone) || !strings.Contains(err.Error(), "does not read") {
		t.Error(err)
	}
}

// A disconnect in a half-written frame lets it finish; then the client is told.
func TestDisconnectInAHalfWrittenFrame(t *testing.T) {
	s := started(t)
	c := s.dial("", "")
	s.stall(c)
	s.disconnect(&push.CloseError{Code: push.CloseDrain})
	if f := c.next(); f.op != opText || len(f.payload) != stalling {
		t.Fatalf("frame %d of %d bytes", f.op, len(f.payload))
	}
	if f := c.next(); f.op != opClose || int(binary.BigEndian.Uint16(f.payload)) != push.CloseDrain {
		t.Errorf("frame %d %q", f.op, f.payload)
	}
}

func TestThousandClientsLeaveNothingBehind(t *testing.T) { // TestMain looks for goroutines
	s := started(t)
	for range 5 {
		var open []*client
		for range 200 {
			open = append(open, s.dial("", ""))
		}
		for _, c := range open {
			_ = c.Close()
		}
		for range open {
			_ = s.end()
		}
	}
	if n := s.hub.Subscriptions(); n > 0 {
		t.Errorf("%d subscriptions", n)
	}
}
