package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// A tunnel is how the event loop, which knows sockets only, speaks to a server
// over TLS: it has one end of a socket pair, and goroutines carry its plain
// HTTP/1.1 to the server and back. That costs the loader a lot and the server
// nothing, whose CPU is what these tests compare.

// tunnel returns the loop's end.
func (l *loader) tunnel(c *conn) (fd int, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	file := os.NewFile(uintptr(pair[1]), "tunnel")
	inner, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		_ = syscall.Close(pair[0])
		return 0, err
	}
	carry := carryTLS
	if l.cfg.h2 && c.pub == nil {
		carry = carryH2
	}
	go func() {
		if err := carry(inner, l.cfg.addr); err != nil {
			_, _ = fmt.Fprintf(inner, "HTTP/1.1 502 %s\r\n\r\n", err) // the loop tells it
		}
		_ = inner.Close()
	}()
	return pair[0], nil
}

// The servers that it is for are of this machine, with a certificate of nobody.
func tlsConfig() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// carryTLS copies both ways until one side ends. Its error is one of connecting.
func carryTLS(inner net.Conn, addr string) error {
	outer, err := tls.Dial("tcp", addr, tlsConfig())
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(outer, inner)
		_ = outer.Close()
	}()
	copyAll(inner, outer)
	_ = outer.Close()
	return nil
}

// carryH2 carries one request over an HTTP/2 connection of its own, as a client
// on another machine has one.
func carryH2(inner net.Conn, addr string) error {
	r, err := http.ReadRequest(bufio.NewReader(inner))
	if err != nil {
		return nil // the loop has closed it
	}
	r.RequestURI = ""
	r.URL = &url.URL{Scheme: "https", Host: addr, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the loop says no more: a read ends when it closes
		_, _ = inner.Read(make([]byte, 1))
		cancel()
	}()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: tlsConfig(), DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ProtoMajor != 2 {
		return fmt.Errorf("the server speaks %s, not HTTP/2", resp.Proto)
	}
	if _, err := fmt.Fprintf(inner, "HTTP/1.1 %s\r\n\r\n", resp.Status); err != nil {
		return nil // the loop has closed it
	}
	copyAll(inner, resp.Body)
	return nil
}

// copyAll copies in large pieces; io.Copy would leave it to splice, which knows
// no TLS.
func copyAll(w io.Writer, r io.Reader) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 32<<10))
}
