package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push/wire"
)

// socket is a WebSocket of a client.
type socket struct {
	*websocket.Conn
	t   testing.TB
	ctx context.Context
	cid string // from push.open
}

// dial opens a WebSocket, or returns the answer that refused it. A header
// "Sec-WebSocket-Protocol: p" asks for a subprotocol.
func (s *site) dial(path string, headers ...string) (*socket, *http.Response) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	s.t.Cleanup(cancel)
	opts := &websocket.DialOptions{HTTPClient: s.Client(), HTTPHeader: http.Header{}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Host":
			opts.Host = value
		case "Sec-WebSocket-Protocol":
			opts.Subprotocols = append(opts.Subprotocols, value)
		default:
			opts.HTTPHeader.Add(name, value)
		}
	}
	c, res, err := websocket.Dial(ctx, s.URL+"/push"+path, opts)
	if err != nil {
		if res == nil {
			s.t.Fatalf("WebSocket to %s: %v", path, err)
		}
		return nil, res
	}
	s.t.Cleanup(func() { _ = c.CloseNow() })
	return &socket{Conn: c, t: s.t, ctx: ctx}, res
}

// socket opens a WebSocket with push.v1 and reads its push.open.
func (s *site) socket(path string, headers ...string) *socket {
	s.t.Helper()
	c, res := s.dial(path, append(headers, "Sec-WebSocket-Protocol: push.v1")...)
	if c == nil {
		s.t.Fatalf("WebSocket to %s: %s", path, res.Status)
	}
	if c.Subprotocol() != "push.v1" {
		s.t.Fatalf("subprotocol %q", c.Subprotocol())
	}
	var data wire.OpenData
	c.expect("push.open", &data)
	c.cid = data.Connection
	return c
}

// plain opens a WebSocket without a subprotocol.
func (s *site) plain(path string, headers ...string) *socket {
	s.t.Helper()
	c, res := s.dial(path, headers...)
	if c == nil {
		s.t.Fatalf("WebSocket to %s: %s", path, res.Status)
	}
	return c
}

func (c *socket) next() wire.Envelope {
	c.t.Helper()
	kind, b, err := c.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("reading the WebSocket: %v", err)
	}
	var env wire.Envelope
	if err := json.Unmarshal(b, &env); err != nil || kind != websocket.MessageText {
		c.t.Fatalf("message %s is no envelope: %v", b, err)
	}
	return env
}

func (c *socket) expect(event string, into any) wire.Envelope {
	c.t.Helper()
	env := c.next()
	if env.Event != event {
		c.t.Fatalf("event %s %s, want a %s", env.Event, env.Data, event)
	}
	if into != nil {
		if err := json.Unmarshal(env.Data, into); err != nil {
			c.t.Fatal(err)
		}
	}
	return env
}

func (c *socket) send(text string) {
	c.t.Helper()
	if err := c.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// closed reads until the connection ends, and returns the code.
func (c *socket) closed() (code int, reason string) {
	c.t.Helper()
	for {
		_, _, err := c.Read(c.ctx)
		if err == nil {
			continue
		}
		var end websocket.CloseError
		if !errors.As(err, &end) {
			c.t.Fatalf("the connection ended without a close frame: %v", err)
		}
		return int(end.Code), end.Reason
	}
}

// reply is the data of push.reply.
type reply struct {
	ID       string
	Topics   []string
	Position string
	Items    []wire.Envelope
	Problem  *struct {
		Title  string
		Status int
		Detail string
	}
}

// act sends an action and returns the reply, and the events that came before it.
func (c *socket) act(action string) (r reply, before []wire.Envelope) {
	c.t.Helper()
	c.send(action)
	for {
		env := c.next()
		if env.Event != wire.Reply {
			before = append(before, env)
			continue
		}
		if err := json.Unmarshal(env.Data, &r); err != nil {
			c.t.Fatal(err)
		}
		return r, before
	}
}
