package ws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/ws"
)

func TestEnvelopesOpenFirstThenEventsInOrder(t *testing.T) {
	s := overTCP(t)
	s.heartbeat = 25 * time.Second
	s.publish("a", "before")
	c := s.dial("push.v1", "?topic=a&topic=b/*&after=0")
	open := c.control(wire.Open)
	var d wire.OpenData
	if err := json.Unmarshal(open.Data, &d); err != nil || !slices.Equal(d.Topics, []string{"a", "b/*"}) || d.Heartbeat != 25000 || len(d.Connection) != 22 {
		t.Errorf("push.open %s: %v", open.Data, err)
	}
	if _, err := push.ParseID(open.ID); err != nil {
		t.Errorf("push.open has id %q: %v", open.ID, err)
	}
	c.event(`"before"`)
	_, _ = s.hub.Publish(t.Context(), push.Event{Topic: "b/x", Name: "n", ContentType: "application/json", Data: []byte("{\n}")})
	_, _ = s.hub.Publish(t.Context(), push.Event{Topic: "a", Data: []byte{0xFF}})
	if e := c.envelope(); e.Topic != "b/x" || e.Event != "n" || string(e.Data) != "{ }" {
		t.Errorf("JSON event: %+v", e)
	}
	if e := c.envelope(); e.Encoding != "base64" || string(e.Data) != `"/w=="` {
		t.Errorf("binary event: %+v", e)
	}
}

func TestCodersClientGetsTheSubprotocol(t *testing.T) {
	s := overTCP(t)
	for asked, want := range map[string]string{"push.v1": "push.v1", "x,push.raw": "push.raw", "x": "", "": ""} {
		addr := s.connect()
		var protocols []string
		if asked != "" {
			protocols = strings.Split(asked, ",")
		}
		c, _, err := websocket.Dial(t.Context(), "ws://"+addr.RemoteAddr().String(), &websocket.DialOptions{Subprotocols: protocols})
		_ = addr.Close()
		if err != nil {
			t.Fatal(err)
		}
		if c.Subprotocol() != want {
			t.Errorf("asked %q: %q, want %q", asked, c.Subprotocol(), want)
		}
		if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
			t.Errorf("asked %q: close: %v", asked, err)
		}
		if err := s.end(); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("Serve: %v", err)
		}
	}
}

func TestActionsAreAnsweredInOrderWithTheirRef(t *testing.T) {
	s := overTCP(t)
	s.opts.Actions = doFunc(func(_ context.Context, a *ws.Action) (any, error) {
		switch a.Kind {
		case ws.Publish:
			return map[string]string{"topic": a.Event.Topic, "data": string(a.Event.Data)}, nil
		case ws.Subscribe:
			return nil, &ws.Problem{Status: 403, Detail: "no"}
		case ws.Credentials:
			return nil, errors.New("disk full")
		}
		return nil, nil
	})
	c := s.v1("")
	c.text(`{"action":"publish","ref":"1","topic":"t","data":[1]}`)
	c.text(`{"action":"subscribe","ref":"\"2","topics":["x"]}`)
	c.text(`{"action":"unsubscribe","topics":["x"]}`)
	c.text(`{"action":"credentials","ref":"4","token":"secret"}`)
	if data, _ := c.reply("1"); data != `{"data":"[1]","topic":"t"}` {
		t.Errorf("result: %s", data)
	}
	if data, _ := c.reply(`"2`); data != `{"problem":{"title":"Forbidden","status":403,"detail":"no"}}` {
		t.Errorf("problem: %s", data)
	}
	if data, _ := c.reply(""); data != "{}" {
		t.Errorf("no result: %s", data)
	}
	if data, status := c.reply("4"); status != 500 || strings.Contains(data, "disk") {
		t.Errorf("an error that is not for the client: %s", data)
	}
	if log := s.log.String(); !strings.Contains(log, "disk") || strings.Contains(log, "secret") {
		t.Errorf("log: %s", log)
	}
}

func TestBadActionIsAnsweredAndTheConnectionStays(t *testing.T) {
	s := overTCP(t)
	s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) { return nil, nil })
	c := s.v1("")
	for text, ref := range map[string]string{
		`{`: "", `[]`: "", `"x"`: "", ``: "",
		`{"action":"fly","ref":"f"}`:                            "f",
		`{"action":"subscribe","topics":"x","ref":"late"}`:      "late",
		`{"action":"subscribe","ref":5,"topics":["x"]}`:         "",
		`{"action":"publish","ref":"nodata"}`:                   "nodata",
		`{"action":"subscribe","ref":"r","topics":["x"]} extra`: "",
	} {
		c.text(text)
		if data, status := c.reply(ref); status != 400 || strings.Contains(data, "ws.") {
			t.Errorf("%s: %s", text, data)
		}
	}
	c.text(`{"action":"subscribe","ref":"fine","topics":["x"]}`)
	if _, status := c.reply("fine"); status != 0 {
		t.Error("refused", status)
	}
}

func TestTooManyBadActionsEndTheConnection(t *testing.T) {
	s := overTCP(t)
	c := s.v1("")
	c.write([]byte(strings.Repeat(string(masked(fin|opText, "{")), 11)))
	for range 10 {
		if _, status := c.reply(""); status != 400 {
			t.Fatal(status)
		}
	}
	c.told(push.ClosePolicy)
}

func TestActionsWithoutActionsAreForbidden(t *testing.T) {
	s := overTCP(t)
	c := s.v1("")
	c.text(`{"action":"publish","ref":"1","data":1}`)
	if _, status := c.reply("1"); status != 403 {
		t.Error("status", status)
	}
}

// An action may end the connection, e.g. with credentials that do not hold.
func TestActionThatEndsTheConnection(t *testing.T) {
	s := overTCP(t)
	s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) {
		return nil, fmt.Errorf("action: %w", &push.CloseError{Code: push.CloseUnauthorized, Reason: "expired"})
	})
	c := s.v1("")
	c.text(`{"action":"credentials","token":"x"}`)
	c.told(push.CloseUnauthorized)
}

func TestBinaryMessageInEnvelopesMode(t *testing.T) {
	s := overTCP(t)
	c := s.v1("")
	c.send(fin|opBinary, "{}")
	c.told(push.ClosePolicy)
}

// A topic that is added is announced, and read from the reader's position.
func TestSubscribeOverALiveConnection(t *testing.T) {
	s := overTCP(t)
	s.actions = func(sub *push.Subscription) ws.Actions {
		return doFunc(func(_ context.Context, a *ws.Action) (any, error) {
			at, err := sub.Update(a.Topics, nil, "requested")
			return map[string]any{"position": at}, err
		})
	}
	s.publish("b", "old")
	c := s.v1("")
	c.text(`{"action":"subscribe","ref":"1","topics":["b"]}`)
	names := []string{c.envelope().Event, c.envelope().Event}
	slices.Sort(names)
	if !slices.Equal(names, []string{wire.Reply, wire.Subscriptions}) {
		t.Fatal(names)
	}
	s.publish("b", "new")
	c.event(`"new"`)
}

// Do's context ends with the connection, and Serve waits for Do.
func TestActionEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		ended := false
		s.opts.Actions = doFunc(func(ctx context.Context, _ *ws.Action) (any, error) {
			<-ctx.Done()
			ended = true
			return nil, ctx.Err()
		})
		c := s.v1("")
		c.text(`{"action":"publish","data":1}`)
		synctest.Wait()
		s.hub.Disconnect(func(*push.Subscription) bool { return true }, nil)
		c.control(wire.Close)
		_ = c.next()
		if _ = s.end(); !ended {
			t.Error("Serve returned before Do")
		}
		if s.log.String() != "" {
			t.Error("logged:", s.log.String())
		}
	})
}
