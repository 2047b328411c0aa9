package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// balancer passes each request on to the node that is ready and has the fewest
// open: no sticky sessions. For real use take a real one: see deploy.
type balancer struct {
	nodes []*child
	proxy *httputil.ReverseProxy

	mu   sync.Mutex
	turn int // among equals
}

const probeEvery = 100 * time.Millisecond

var errNoNode = errors.New("no node is ready")

func newBalancer(nodes []*child) *balancer {
	b := &balancer{nodes: nodes}
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		Transport:     b,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // nodes that are killed cut their answers off
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		},
	}
	return b
}

// transport takes the connection that the balancer has made.
var transport = &http.Transport{
	DisableKeepAlives: true,
	DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return ctx.Value(connKey{}).(net.Conn), nil
	},
}

type connKey struct{}

// RoundTrip implements http.RoundTripper. A node that does not take a connection
// is passed over; one that dies later may have done what it was asked for, and
// that is the client's to repeat.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	for range len(b.nodes) {
		c, addr := b.pick()
		if c == nil {
			break
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(r.Context(), "tcp", addr)
		if err != nil {
			c.count(-1)
			c.setReady(addr, false)
			continue
		}
		res, err := transport.RoundTrip(r.WithContext(context.WithValue(r.Context(), connKey{}, conn)))
		if err != nil {
			_ = conn.Close()
			c.count(-1)
			return nil, err
		}
		res.Body = counted(res.Body, c)
		return res, nil
	}
	return nil, errNoNode
}

// pick returns the node for a request, and counts it there.
func (b *balancer) pick() (best *child, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	fewest := 0
	for i := range b.nodes {
		c := b.nodes[(i+b.turn)%len(b.nodes)]
		if at, open, ready := c.load(); ready && (best == nil || open < fewest) {
			best, addr, fewest = c, at, open
		}
	}
	if best != nil {
		best.count(1)
	}
	return best, addr
}

func (c *child) load() (addr string, open int, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr, c.open, c.ready
}

func (c *child) count(n int) {
	c.mu.Lock()
	c.open += n
	c.mu.Unlock()
}

// setReady notes what is known of the process that listens at addr.
func (c *child) setReady(addr string, ready bool) {
	c.mu.Lock()
	if c.addr == addr {
		c.ready = ready && c.cmd != nil && !c.ending
	}
	c.mu.Unlock()
}

// counted is a body that counts as open until it is closed. That of an upgrade
// can be written to.
func counted(body io.ReadCloser, c *child) io.ReadCloser {
	done := sync.OnceFunc(func() { c.count(-1) })
	if both, ok := body.(io.ReadWriteCloser); ok {
		return struct {
			io.ReadWriter
			closer
		}{both, closer{both, done}}
	}
	return struct {
		io.Reader
		closer
	}{body, closer{body, done}}
}

type closer struct {
	io.Closer
	done func()
}

// Close implements io.Closer.
func (c closer) Close() error {
	c.done()
	return c.Closer.Close()
}

// probe asks the nodes whether they are ready, until ctx ends.
func (b *balancer) probe(ctx context.Context) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range b.nodes {
		wg.Go(func() {
			tick := time.NewTicker(probeEvery)
			defer tick.Stop()
			for {
				addr, _, _ := c.load()
				c.setReady(addr, isReady(ctx, client, addr))
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func isReady(ctx context.Context, client *http.Client, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}
