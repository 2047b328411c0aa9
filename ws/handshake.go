package ws

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push/direct"
)

// The subprotocols that are spoken.
const (
	protocolEnvelopes = "push.v1"
	protocolPlain     = "push.raw"
)

// HandshakeError says why a request did not become a WebSocket. Nothing has
// been written then: the caller answers with Status. Headers that belong to
// the answer (RFC 6455 section 4.4, RFC 9110 section 15.5.22) are set.
type HandshakeError struct {
	Status int    // an HTTP status: 400, 405, 426 or 501
	Reason string // for people
}

func (e *HandshakeError) Error() string { return "ws: no handshake: " + e.Reason }

// accept does the handshake. The origin is the caller's to check.
func (s *session) accept(w http.ResponseWriter, r *http.Request) error {
	inner, err := hijackable(w)
	if err != nil {
		return err
	}
	u := &upgrade{ResponseWriter: w, inner: inner, conn: s.conn}
	s.ws, err = websocket.Accept(u, r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocolEnvelopes, protocolPlain},
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     s.conn.onPing,
		OnPongReceived:     s.conn.onPong,
	})
	if err != nil {
		return u.refusal()
	}
	s.ws.SetReadLimit(s.opts.MaxMessage)
	return nil
}

// hijackable returns the innermost writer, which has to be a http.Hijacker:
// wrappers such as Echo's Response claim to be one whatever they wrap, and
// fail only when the 101 is written already.
func hijackable(w http.ResponseWriter) (http.ResponseWriter, error) {
	w = direct.Innermost(w)
	if _, ok := w.(http.Hijacker); !ok {
		return nil, &HandshakeError{http.StatusNotImplemented, fmt.Sprintf("%T hides http.Hijacker; "+
			"give it an Unwrap method, or keep the middleware it belongs to away from this route "+
			"(HTTP/2 has no Hijacker: use another transport)", w)}
	}
	return w, nil
}

// upgrade is the ResponseWriter for coder's Accept: it lets the 101 pass,
// keeps back the refusals, and hands over our connection.
type upgrade struct {
	http.ResponseWriter
	inner  http.ResponseWriter
	conn   *conn
	status int
	reason string
	fatal  error // it is too late for an answer
}

// WriteHeader implements http.ResponseWriter.
func (u *upgrade) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		u.status = status
		return
	}
	u.ResponseWriter.WriteHeader(status)
	if w, ok := u.ResponseWriter.(interface{ WriteHeaderNow() }); ok { // of gin, which else keeps it back
		w.WriteHeaderNow()
	}
}

// Write implements http.ResponseWriter. What is written is a refusal.
func (u *upgrade) Write(b []byte) (int, error) {
	u.reason += string(b)
	return len(b), nil
}

const withheld = "The WebSocket handshake failed: a middleware kept its answer back. The server's log names it.\n"

// Hijack implements http.Hijacker. It makes sure that the 101 went out: a
// writer that compresses or buffers keeps it back, and the client would wait
// for ever. After a 101 a writer takes no body.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if _, err := u.inner.Write([]byte(withheld)); err == nil {
		u.fatal = fmt.Errorf("ws: the 101 did not get through %T to %T; "+
			"keep the middleware that buffers or compresses away from this route", u.ResponseWriter, u.inner)
		return nil, nil, u.fatal
	}
	nc, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		u.fatal = fmt.Errorf("ws: no hijack after the 101: %w", err)
		return nil, nil, u.fatal
	}
	return u.conn, u.conn.take(nc, rw), nil
}

// refusal is why Accept failed.
func (u *upgrade) refusal() error {
	if u.fatal != nil {
		return u.fatal
	}
	return &HandshakeError{u.status, strings.TrimSpace(u.reason)}
}
