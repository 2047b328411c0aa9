package ws_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// hijacker is a recorder whose connection nobody may take.
type hijacker struct {
	*httptest.ResponseRecorder
	t *testing.T
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.t.Error("Check took the connection")
	return nil, nil, http.ErrHijacked
}

func TestCheckSaysWhatServeWouldAndWritesNothing(t *testing.T) {
	for _, x := range []struct {
		old, new string
		status   int
	}{
		{"", "", 0},
		{"Connection: Upgrade", "Connection: close", 426},
		{"Upgrade: websocket", "Upgrade: h2c", 426},
		{"Version: 13", "Version: 8", 400},
		{"dGhlIHNhbXBsZSBub25jZQ==", "short", 400},
		{"GET ", "POST ", 405},
	} {
		text := strings.Replace(strings.ReplaceAll(handshake, "%s", ""), x.old, x.new, 1)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		w := hijacker{httptest.NewRecorder(), t}
		w.Code = 0
		_, err = ws.Check(w, r)
		refusal, _ := err.(*ws.HandshakeError)
		if refusal == nil != (x.status == 0) || refusal != nil && (refusal.Status != x.status || refusal.Reason == "") {
			t.Errorf("%s: %v, want %d", x.new, err, x.status)
		}
		if got := w.Header().Get("Upgrade"); (got != "") != (x.status == 426) || w.Body.Len() != 0 || w.Code != 0 {
			t.Errorf("%s: Upgrade: %q, status %d, %d bytes", x.new, got, w.Code, w.Body.Len())
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	_, err := ws.Check(hidden{hijacker{httptest.NewRecorder(), t}}, r)
	if refusal, ok := err.(*ws.HandshakeError); !ok || refusal.Status != http.StatusNotImplemented {
		t.Errorf("a hidden Hijacker: %v", refusal)
	}
}

// A server that is full checks handshakes, and drops them.
func TestADroppedHandshakeLeavesNothing(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(handshake, "%s", ""))))
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	before, _ := inUse()
	for range n {
		if _, err := ws.Check(hijacker{httptest.NewRecorder(), t}, r); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := inUse()
	if left := (after - before) / n; left > 100 {
		t.Errorf("a dropped handshake leaves %d bytes", left)
	}
}

// A middleware that has set a subprotocol, and one that reads the rest of a body
// which nobody may have any more.
func TestACheckedHandshakeStartsAmongOddMiddleware(t *testing.T) {
	hub := push.New()
	read := make(chan error, 1)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		defer func() { read <- err }()
		w.Header().Set("Sec-WebSocket-Protocol", "push.v1")
		w.Header().Set("Sec-WebSocket-Extensions", "permessage-deflate")
		h, err := ws.Check(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		sub, err := hub.Subscribe(r.Context(), []string{"a"}, push.FromHead())
		if err != nil {
			t.Error(err)
			return
		}
		if err := h.Start(sub, nil, func(error) { sub.Close() }); err != nil {
			t.Error(err)
		}
		_, err = io.ReadAll(r.Body)
	}))
	defer ts.Close()
	defer kill(hub)
	c, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = fmt.Fprintf(c, handshake, "", "Content-Length: 300000\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	for _, name := range []string{"Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		if got := resp.Header.Values(name); got != nil {
			t.Errorf("%s: %q was never agreed", name, got)
		}
	}
	if err := <-read; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that was never sent was read: %v", err)
	}
	if _, err := hub.Publish(t.Context(), push.Event{Topic: "a", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(io.LimitReader(br, 3)); err != nil || string(b) != "\x81\x01x" { // a text frame, plain
		t.Errorf("got %q, error %v", b, err)
	}
}
