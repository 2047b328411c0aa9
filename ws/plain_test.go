package ws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

func TestPlainModeSendsPayloadsOnly(t *testing.T) {
	for _, protocol := range []string{"", "push.raw", "mqtt"} {
		s := overTCP(t)
		c := s.dial(protocol, "")
		s.publish("a", "text", "", "\xFF\xFE")
		_, _ = s.hub.Publish(t.Context(), push.Event{Topic: "a", ContentType: "image/png", Data: []byte("ascii")},
			push.Event{Topic: "a", ContentType: "application/json", Data: []byte("{\n}")})
		c.want(opText, "text")
		c.want(opText, "")
		c.want(opBinary, "\xFF\xFE")
		c.want(opBinary, "ascii")
		c.want(opText, "{\n}")
	}
}

func TestPlainModeHeartbeatIsAPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.heartbeat = 5 * time.Second
		c := s.dial("", "")
		for range 3 {
			began := time.Now()
			c.want(opPing, "")
			c.send(fin|opPong, "")
			if d := time.Since(began); d != 5*time.Second {
				t.Errorf("ping after %v", d)
			}
		}
	})
}

func TestPlainModeHoleClosesWith1013(t *testing.T) {
	s := overTCP(t)
	c := s.dial("", "?after=forged")
	c.closed(push.CloseOverload)
	if end, ok := s.end().(*push.CloseError); !ok || end.Code != push.CloseOverload {
		t.Error("Serve:", end)
	}
}

func TestPlainMessagePublishesWithItsType(t *testing.T) {
	s := overTCP(t)
	var got []string
	s.opts.Actions = doFunc(func(_ context.Context, a *ws.Action) (any, error) {
		got = append(got, fmt.Sprint(a.Kind, a.Plain, a.Event.Topic, a.Event.ContentType, string(a.Event.Data)))
		if len(got) == 5 {
			return nil, &push.CloseError{Code: push.CloseUnauthorized, Reason: "enough"}
		}
		return "ignored", nil
	})
	c := s.dial("", "")
	c.text(`{"a":1}`)
	c.text(`{"a":1`)
	c.text("")
	c.send(fin|opBinary, "1")
	c.send(opText, "a")
	c.send(0, "b")
	c.send(fin, "c")
	c.closed(push.CloseUnauthorized)
	_ = s.end()
	want := []string{
		`publish true  application/json {"a":1}`, `publish true  text/plain; charset=utf-8 {"a":1`, `publish true  text/plain; charset=utf-8 `,
		`publish true  application/octet-stream 1`, `publish true  text/plain; charset=utf-8 abc`,
	}
	for i, w := range want {
		if w = strings.ReplaceAll(w, "publish true  ", "publishtrue"); strings.ReplaceAll(got[i], " ", "") != strings.ReplaceAll(w, " ", "") {
			t.Errorf("message %d: %q, want %q", i, got[i], w)
		}
	}
}

func TestPlainMessageThatIsRefused(t *testing.T) {
	for _, x := range []struct {
		err    error
		code   int
		reason string
	}{
		{&ws.Problem{Status: 403, Detail: "not you"}, push.ClosePolicy, "not you"},
		{&ws.Problem{Status: 422}, push.ClosePolicy, "Unprocessable Entity"},
		{&ws.Problem{Status: 503, Detail: "later"}, push.CloseOverload, "later"},
		{&ws.Problem{Status: 429, Detail: "slowly"}, push.CloseOverload, "slowly"},
		{errors.New("disk full"), push.CloseOverload, "the server failed; its log says why"},
		{fmt.Errorf("x: %w", &push.CloseError{Code: push.CloseForbidden, Reason: "away"}), push.CloseForbidden, "away"},
	} {
		s := overTCP(t)
		s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) { return nil, x.err })
		c := s.dial("", "")
		c.text("x")
		if reason := c.closed(x.code); reason != x.reason {
			t.Errorf("%v: reason %q", x.err, reason)
		}
	}
}

func TestPlainMessageWithoutActions(t *testing.T) {
	s := overTCP(t)
	c := s.dial("", "")
	c.text("x")
	c.closed(push.ClosePolicy)
}

func TestPlainMessagesAboveTheRate(t *testing.T) {
	s := overTCP(t)
	n := 0
	s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) { n++; return nil, nil })
	s.opts.Rate, s.opts.Burst = 0.001, 5
	c := s.dial("", "")
	for range 6 {
		c.text("x")
	}
	c.closed(push.CloseOverload)
	if _ = s.end(); n != 5 {
		t.Errorf("%d messages were carried out, want 5", n)
	}
}
