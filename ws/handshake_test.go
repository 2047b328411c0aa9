package ws_test

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/internal/memnet"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// request sends a handshake through s, with wrap around the writer, and returns
// the response and its body.
func (s *server) request(replace ...string) (*http.Response, string) {
	s.t.Helper()
	c := &client{Conn: s.connect(), t: s.t}
	c.br = bufio.NewReader(c.Conn)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	text := strings.NewReplacer("%s", "").Replace(handshake)
	c.write([]byte(strings.NewReplacer(replace...).Replace(text)))
	resp := c.response()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, max(resp.ContentLength, 0)))
	return resp, string(body)
}

// hidden is a wrapper as people write them.
type hidden struct{ http.ResponseWriter }

// claiming claims to be a Hijacker whatever it wraps, as Echo's Response does.
type claiming struct{ http.ResponseWriter }

func (c claiming) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c claiming) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(c.ResponseWriter).Hijack()
}

// withholding keeps the head back until there is a body, as Echo's Gzip does.
type withholding struct{ claiming }

func (withholding) WriteHeader(int) {}

// late writes the head only when it is told to, as gin's writer does.
type late struct {
	claiming
	status *int
}

func (l late) WriteHeader(status int) { *l.status = status }
func (l late) WriteHeaderNow()        { l.ResponseWriter.WriteHeader(*l.status) }

func TestHiddenHijackerIsNamedBeforeTheHandshake(t *testing.T) {
	for _, wrap := range []func(http.ResponseWriter) http.ResponseWriter{
		func(w http.ResponseWriter) http.ResponseWriter { return hidden{w} },
		func(w http.ResponseWriter) http.ResponseWriter { return claiming{hidden{w}} },
		func(w http.ResponseWriter) http.ResponseWriter { return claiming{claiming{hidden{w}}} },
	} {
		s := overTCP(t)
		s.wrap = wrap
		resp, body := s.request()
		if resp.StatusCode != http.StatusNotImplemented || !strings.Contains(body, "ws_test.hidden hides http.Hijacker") {
			t.Errorf("%s %s", resp.Status, body)
		}
		if refusal, ok := s.end().(*ws.HandshakeError); !ok || refusal.Status != http.StatusNotImplemented {
			t.Error("Serve:", refusal)
		}
	}
}

func TestHonestWrappersAreNoHindrance(t *testing.T) {
	for _, wrap := range []func(http.ResponseWriter) http.ResponseWriter{
		func(w http.ResponseWriter) http.ResponseWriter { return claiming{w} },
		func(w http.ResponseWriter) http.ResponseWriter { return claiming{claiming{w}} },
		func(w http.ResponseWriter) http.ResponseWriter { return late{claiming{w}, new(int)} },
	} {
		s := overTCP(t)
		s.wrap = wrap
		c := s.v1("")
		s.publish("a", "x")
		c.event(`"x"`)
	}
}

// Failure 9: a middleware that compresses kept the 101, and the client hung.
func TestWithheld101FailsAtOnceAndNamesTheWrapper(t *testing.T) {
	s := overTCP(t)
	s.wrap = func(w http.ResponseWriter) http.ResponseWriter { return withholding{claiming{w}} }
	if resp, body := s.request(); resp.StatusCode == http.StatusSwitchingProtocols || !strings.Contains(body, "middleware") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "ws_test.withholding") {
		t.Error("Serve:", err)
	}
}

// broken fails when it is asked, as a connection that was hijacked before.
type broken struct{ claiming }

func (broken) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrHijacked }

func TestHijackThatFails(t *testing.T) {
	s := overTCP(t)
	s.wrap = func(w http.ResponseWriter) http.ResponseWriter { return broken{claiming{w}} }
	_, _ = s.request()
	if err := s.end(); !errors.Is(err, http.ErrHijacked) {
		t.Error("Serve:", err)
	}
}

func TestBadHandshakesAreTheCallersToAnswer(t *testing.T) {
	for _, x := range []struct {
		old, new string
		status   int
	}{
		{"Connection: Upgrade", "Connection: close", 426},
		{"Upgrade: websocket", "Upgrade: h2c", 426},
		{"Version: 13", "Version: 8", 400},
		{"dGhlIHNhbXBsZSBub25jZQ==", "short", 400},
		{"GET ", "POST ", 405},
	} {
		s := overTCP(t)
		resp, body := s.request(x.old, x.new)
		if resp.StatusCode != x.status || body == "" {
			t.Errorf("%s: %s %q", x.new, resp.Status, body)
		}
		if x.status == 426 && resp.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s: Upgrade: %q", x.new, resp.Header.Get("Upgrade"))
		}
		if refusal, ok := s.end().(*ws.HandshakeError); !ok || refusal.Status != x.status || refusal.Reason+"\n" != body {
			t.Errorf("%s: Serve: %v", x.new, refusal)
		}
	}
}

func TestHeadersOfTheCallerGoOutWithThe101(t *testing.T) {
	s := overTCP(t)
	s.wrap = func(w http.ResponseWriter) http.ResponseWriter {
		w.Header().Set("X-Request-Id", "7")
		return w
	}
	if resp, _ := s.request(); resp.Header.Get("X-Request-Id") != "7" {
		t.Error(resp.Header)
	}
}

// The origin is the caller's to check: a device sends what it likes.
func TestForeignOriginIsNotLookedAt(t *testing.T) {
	s := overTCP(t)
	if resp, _ := s.request("Host: x", "Host: x\r\nOrigin: null"); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Error(resp.Status)
	}
}

// Failure 29: there is no compression, so there is no bomb.
func TestCompressionIsNeverAgreedTo(t *testing.T) {
	s := overTCP(t)
	resp, _ := s.request("Host: x", "Host: x\r\nSec-WebSocket-Extensions: permessage-deflate")
	if got := resp.Header.Get("Sec-Websocket-Extensions"); resp.StatusCode != http.StatusSwitchingProtocols || got != "" {
		t.Errorf("%s, extensions %q", resp.Status, got)
	}
	c := s.v1("")
	c.send(fin|0x40|opText, "compressed")
	c.told(1002)
}

// A client may send frames right behind its request: net/http has read them
// before the hijack.
func TestFramesBehindTheRequestAreNotLost(t *testing.T) {
	s := overTCP(t)
	early := append(masked(fin|opPing, "early"), masked(fin|opPing, strings.Repeat("e", 125))...)
	c := s.dial("", "", early...)
	c.want(opPong, "early")
	c.want(opPong, strings.Repeat("e", 125))
}

// http.Server's timeouts are for requests: they do not cut a stream.
func TestServerTimeoutsDoNotCutTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		l := memnet.New()
		hs := &http.Server{Handler: s, ReadTimeout: time.Second, WriteTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = hs.Serve(l) }()
		defer func() { _ = hs.Close() }()
		s.through(l)
		c := s.v1("")
		time.Sleep(20 * time.Second)
		s.publish("a", "x")
		c.event(`"x"`)
	})
}

func TestBrokenFrames(t *testing.T) {
	for name, b := range map[string][]byte{
		"not masked":              {fin | opText, 1, 'x'},
		"reserved bit":            masked(fin|0x20|opText, "x"),
		"unknown opcode":          masked(fin|3, "x"),
		"long ping":               masked(fin|opPing, strings.Repeat("x", 126)),
		"ping in fragments":       masked(opPing, "x"),
		"continuation of nothing": masked(fin, "x"),
		"text within a message":   append(masked(opText, "x"), masked(fin|opText, "x")...),
		"negative length":         {fin | opText, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
	} {
		s := overTCP(t)
		c := s.v1("")
		c.write(b)
		c.told(1002)
		if end, ok := errors.AsType[*push.CloseError](s.end()); !ok || end.Code != 1002 {
			t.Errorf("%s: Serve: %v", name, end)
		}
	}
}

// A writer without a connection behind it, as in handlers' unit tests.
func TestRecorderIsNoHijacker(t *testing.T) {
	hub := push.New()
	defer kill(hub)
	sub, err := hub.Subscribe(t.Context(), []string{"a"}, push.FromHead())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	rec := httptest.NewRecorder()
	err = ws.Serve(rec, httptest.NewRequest(http.MethodGet, "/", nil), sub, nil)
	if refusal, ok := err.(*ws.HandshakeError); !ok || !strings.Contains(refusal.Reason, "httptest.ResponseRecorder") || rec.Body.Len() > 0 {
		t.Errorf("%v, body %q", err, rec.Body)
	}
}
