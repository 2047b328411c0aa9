package ws

import (
	"bufio"
	"errors"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// Check reports what Serve and Start would refuse r for, as a *HandshakeError
// with the headers of its answer in w. Nothing is written: so a caller that has
// something to give up for the connection does so only if there will be one.
func Check(w http.ResponseWriter, r *http.Request) error {
	if _, err := hijackable(w); err != nil {
		return err
	}
	p := &probe{header: http.Header{}}
	_, _ = websocket.Accept(p, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // it fails, at the latest at Hijack
	if p.status == http.StatusSwitchingProtocols {
		return nil
	}
	maps.Copy(w.Header(), p.header)
	return &HandshakeError{p.status, strings.TrimSpace(p.reason)}
}

// probe keeps the first status of an answer that nobody gets.
type probe struct {
	header http.Header
	status int
	reason string
}

// Header implements http.ResponseWriter.
func (p *probe) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *probe) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

// Write implements http.ResponseWriter. What is written is a refusal.
func (p *probe) Write(b []byte) (int, error) {
	p.reason += string(b)
	return len(b), nil
}

// Hijack implements http.Hijacker: there is no connection.
func (p *probe) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.ErrUnsupported
}
