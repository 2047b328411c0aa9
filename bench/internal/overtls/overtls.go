// Package overtls serves a handler over TLS as well, for the servers under
// test: HTTP/2 for who offers it, HTTP/1.1 for who does not.
package overtls

import (
	"net"
	"net/http"
	"net/http/httptest"
)

// Serve serves h on addr until the process ends. The certificate is httptest's:
// clients must not check it.
func Serve(addr string, h http.Handler) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener, s.EnableHTTP2 = l, true
	s.StartTLS()
	return nil
}
