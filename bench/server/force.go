package main

import (
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// handlerWrites keeps the library off its direct writer, as a middleware that
// wraps the response without Unwrap does.
func handlerWrites(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Writer = noHijack{c.Response().Writer}
		return next(c)
	}
}

// noHijack is a response that can do all but give its connection away.
type noHijack struct{ http.ResponseWriter }

func (w noHijack) FlushError() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w noHijack) Flush() { _ = w.FlushError() } // who wants the error calls FlushError

func (w noHijack) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// wrapped listens for connections that are not the system's own.
func wrapped(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	return wrappingListener{l}, err
}

type wrappingListener struct{ net.Listener }

func (l wrappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return wrappedConn{c}, err
}

type wrappedConn struct{ net.Conn }
