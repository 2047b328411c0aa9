package ws

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
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

// Handshake is a request that is to become a WebSocket: Start has it become one.
// Nothing was written, and a Handshake can be dropped. It is not for concurrent use.
type Handshake struct {
	w, inner http.ResponseWriter
	r        *http.Request
	header   http.Header // of the 101
	conn     *conn       // without a connection below it
	ws       *websocket.Conn
}

// Check returns r as a Handshake, or what Serve and Start would refuse it for, as a
// *HandshakeError with the headers of its answer in w. Nothing is written: so a
// caller that has something to give up for the connection does so only if there
// will be one. It does not check the origin either: see Serve.
func Check(w http.ResponseWriter, r *http.Request) (*Handshake, error) {
	inner, err := hijackable(w)
	if err != nil {
		return nil, err
	}
	h := &Handshake{w: w, inner: inner, r: r, header: http.Header{}, conn: newConn()}
	a := &answer{header: h.header, conn: h.conn}
	h.ws, err = websocket.Accept(a, r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocolEnvelopes, protocolPlain},
		InsecureSkipVerify: true, // the origin is the caller's to check
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     h.conn.onPing,
		OnPongReceived:     h.conn.onPong,
	})
	if err != nil {
		w.Header().Del("Content-Length") // of whatever was to be answered before
		maps.Copy(w.Header(), a.header)
		return nil, &HandshakeError{a.status, strings.TrimSpace(a.reason)}
	}
	runtime.SetFinalizer(h.ws, nil) // coder's: an object that leads back to itself is never collected with one
	return h, nil
}

// answer is the ResponseWriter for coder's Accept. It keeps the answer, which is
// a 101 that is written later or a refusal that is the caller's to write, and
// hands over our connection.
type answer struct {
	header http.Header
	conn   *conn
	status int
	reason string
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter. What is written is a refusal.
func (a *answer) Write(b []byte) (int, error) {
	a.reason += string(b)
	return len(b), nil
}

// Hijack implements http.Hijacker.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return a.conn, a.conn.buffers(), nil }

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

const withheld = "The WebSocket handshake failed: a middleware kept its answer back. The server's log names it.\n"

// upgrade sends the 101 and takes the connection. It makes sure that the 101 went
// out: a writer that compresses or buffers keeps it back, and the client would wait
// for ever. After a 101 a writer takes no body. On an error it is too late for an
// answer.
func (h *Handshake) upgrade() (net.Conn, *bufio.ReadWriter, error) {
	for _, name := range []string{"Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} { // what was not agreed is not said
		h.w.Header().Del(name)
	}
	maps.Copy(h.w.Header(), h.header)
	h.w.WriteHeader(http.StatusSwitchingProtocols)
	if w, ok := h.w.(interface{ WriteHeaderNow() }); ok { // of gin, which else keeps it back
		w.WriteHeaderNow()
	}
	if _, err := h.inner.Write([]byte(withheld)); err == nil {
		return nil, nil, fmt.Errorf("ws: the 101 did not get through %T to %T; "+
			"keep the middleware that buffers or compresses away from this route", h.w, h.inner)
	}
	nc, rw, err := http.NewResponseController(h.w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("ws: no hijack after the 101: %w", err)
	}
	return nc, rw, nil
}
