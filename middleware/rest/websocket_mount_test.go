package rest_test

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

func TestSubprotocols(t *testing.T) {
	s := serve(t, rest.Config{})
	for offered, want := range map[string]string{
		"push.v1": "push.v1", "other push.v1": "push.v1", "push.raw": "push.raw", "other": "", "": "", "graphql-ws mqtt": "", "push.v2": "",
	} {
		headers := []string{}
		for p := range strings.FieldsSeq(offered) {
			headers = append(headers, "Sec-WebSocket-Protocol: "+p)
		}
		c, res := s.dial("/topics/wall", headers...)
		if c == nil || c.Subprotocol() != want {
			t.Fatalf("offered %q: %s, subprotocol %q, want %q", offered, res.Status, res.Header.Get("Sec-Websocket-Protocol"), want)
		}
		if want == "push.v1" {
			c.expect("push.open", nil)
			continue
		}
		s.publish("wall", "raw")
		if _, b, err := c.Read(c.ctx); err != nil || string(b) != "raw" {
			t.Errorf("offered %q: the first message is %q %v, want the raw payload", offered, b, err)
		}
	}
}

func TestPlainWebSocketIsRawPayloads(t *testing.T) {
	s := serve(t, rest.Config{})
	ids := s.publish("wall", "1", "2", "3")
	for _, query := range []string{"?after=" + ids[0].String(), "?last=2", "?last_event_id=" + ids[0].String()} {
		c := s.plain("/topics/wall" + query)
		for _, want := range []string{"2", "3"} {
			if kind, b, err := c.Read(c.ctx); err != nil || kind != websocket.MessageText || string(b) != want {
				t.Fatalf("%s: %v %q %v, want %s", query, kind, b, err, want)
			}
		}
	}
	c := s.plain("/topics/wall")
	for _, e := range []push.Event{
		{Topic: "wall", Name: "post", ContentType: typeJSON, Data: []byte("{\n}")}, {Topic: "wall", Data: []byte("ü")},
		{Topic: "wall", Data: []byte{0xff}}, {Topic: "wall", ContentType: "image/png", Data: []byte("png")}, {Topic: "wall"},
	} {
		if _, err := s.hub.Publish(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		want := websocket.MessageText
		if e.Kind() == push.KindBinary {
			want = websocket.MessageBinary
		}
		if kind, b, err := c.Read(c.ctx); err != nil || kind != want || !bytes.Equal(b, e.Data) {
			t.Errorf("%q came as %v %q %v", e.Data, kind, b, err)
		}
	}
}

func TestHoleOnAPlainWebSocketCloses(t *testing.T) {
	s := serve(t, rest.Config{Hub: keeps(2)})
	ids := s.publish("wall", numbers(0, 5)...)
	for _, cursor := range []string{ids[0].String(), "forged"} {
		if code, _ := s.plain("/topics/wall?after=" + cursor).closed(); code != push.CloseOverload {
			t.Errorf("after=%s: closed with %d, want 1013: there is no way to tell of a gap", cursor, code)
		}
	}
}

func TestPlainFramesPublishToThePathsTopic(t *testing.T) {
	s := serve(t, rest.Config{})
	c := s.plain("/topics/a/b")
	for _, f := range []struct {
		kind     websocket.MessageType
		data     string
		wantType string
	}{
		{websocket.MessageText, `{"n":1}`, typeJSON}, {websocket.MessageText, "12", typeJSON}, {websocket.MessageText, "{hi", "text/plain; charset=utf-8"},
		{websocket.MessageBinary, "\x00\xff", "application/octet-stream"}, {websocket.MessageBinary, `{"n":1}`, "application/octet-stream"},
		{websocket.MessageText, "", "text/plain; charset=utf-8"},
	} {
		if err := c.Write(c.ctx, f.kind, []byte(f.data)); err != nil {
			t.Fatal(err)
		}
		if kind, b, err := c.Read(c.ctx); err != nil || string(b) != f.data || kind != f.kind {
			t.Errorf("%q came back as %v %q %v", f.data, kind, b, err)
		}
		p, err := s.hub.History(c.ctx, push.Query{Topics: []string{"a/b"}, Limit: 1, Latest: true})
		if err != nil || p.Events[0].ContentType != f.wantType || p.Events[0].Name != "" {
			t.Errorf("%q is in the log as %+v %v", f.data, p.Events, err)
		}
	}
}

func TestPlainFrameThatIsNotAllowedCloses(t *testing.T) {
	hub := push.New()
	hub.Handle("picky", func(context.Context, *push.Inbound) error { return push.Refuse("nobody may") })
	s := serve(t, rest.Config{Hub: hub, MaxMessage: 1000, Auth: rest.Public(push.Sub("**"), push.Pub("wall"), push.Pub("picky"))})
	for _, c := range []struct {
		path, frame string
		code        int
		reason      string
	}{
		{"/events?topic=wall", "x", push.ClosePolicy, "topic"}, {"/topics/news", "x", push.ClosePolicy, "not granted"},
		{"/topics/picky", "x", push.ClosePolicy, "nobody may"},
		{"/topics/wall", strings.Repeat("x", 1001), push.CloseTooBig, "1000"}, {"/topics/wall", "\xff", push.CloseInvalidData, "UTF-8"},
	} {
		ws := s.plain(c.path)
		ws.send(c.frame)
		if code, reason := ws.closed(); code != c.code || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %.10q closed with %d %q, want %d %q", c.path, c.frame, code, reason, c.code, c.reason)
		}
	}
	if p := s.page("/events?topic=**"); len(p.Items) != 0 {
		t.Errorf("in the log: %v", p.texts())
	}
}

func TestFramesOfPushV1(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("news", numbers(0, 5)...)
	c := s.socket("/events") // topics come later
	r, _ := c.act(`{"action":"subscribe","ref":"a","topics":["news","rooms/*"],"last":3}`)
	if !slices.Equal(r.Topics, []string{"news", "rooms/*"}) || len(r.Items) != 3 || string(r.Items[0].Data) != `"2"` || r.Position != s.hub.Position().String() {
		t.Errorf("subscribe: %+v", r)
	}
	s.publish("news", "5")
	env := c.next()
	for env.Event == "push.subscriptions" {
		env = c.next()
	}
	if env.Event != "message" || string(env.Data) != `"5"` || env.Topic != "news" {
		t.Errorf("%+v", env)
	}
	r, before := c.act(`{"action":"publish","topic":"rooms/1","event":"post","key":"k","data":{"a":1}}`)
	if len(before) == 0 {
		before = append(before, c.next())
	}
	if before[0].ID != r.ID || before[0].Event != "post" || string(before[0].Data) != `{"a":1}` || before[0].Topic != "rooms/1" {
		t.Errorf("publish: %+v and %+v", r, before)
	}
	if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem == nil || r.Problem.Status != http.StatusBadRequest {
		t.Errorf("publish without a topic on /events: %+v", r)
	}
	if r, _ := c.act(`{"action":"credentials","token":"x"}`); r.Problem == nil || r.Problem.Status != http.StatusNotImplemented ||
		!strings.Contains(r.Problem.Detail, "PUT") {
		t.Errorf("credentials: %+v", r)
	}
	if r, _ := c.act(`{"action":"unsubscribe","topics":["news","rooms/*"]}`); len(r.Topics) != 0 {
		t.Errorf("unsubscribe: %+v", r)
	}
}

func TestHandshakesThatAreNoneAreRefused(t *testing.T) {
	s := serve(t, rest.Config{})
	const begin, key = "GET /push/topics/wall HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for request, status := range map[string]string{
		begin + "Sec-WebSocket-Version: 13\r\n\r\n":                             "400",
		begin + key + "\r\n":                                                    "4",
		begin + key + "Sec-WebSocket-Version: 12\r\n\r\n":                       "4",
		begin + "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n": "400",
	} {
		answer := s.raw(request)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+status) || !strings.Contains(answer, "application/problem+json") {
			t.Errorf("%q: %.80q", request, answer)
		}
	}
	if n := s.hub.Subscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}
