package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a number of SSE clients of one node, which count what they get: what
// benchmarks put a node under.
type Load struct {
	run     *run
	conns   []net.Conn
	reading sync.WaitGroup
	got     atomic.Int64
	want    atomic.Int64
	all     chan struct{} // of capacity 1
	lost    chan error    // of capacity 1
	sent    int
}

const (
	loadTopic = "load"
	loadMark  = '@' // once in each event

	loadPatience = 30 * time.Second
)

// NewLoad connects clients to a node, as soon as it is ready.
func NewLoad(ctx context.Context, node string, clients int) (*Load, error) {
	l := &Load{all: make(chan struct{}, 1), lost: make(chan error, 1)}
	l.run = &run{ctx: ctx, http: &http.Client{Transport: &http.Transport{}}, nodes: []Node{{URL: node}}, ledger: map[string]note{}}
	for range clients {
		if err := l.connect(strings.TrimPrefix(node, "http://")); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// connect opens a stream, as soon as the node is ready.
func (l *Load) connect(addr string) error {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	end := time.Now().Add(loadPatience)
	for {
		c, err := open(l.run.ctx, addr, end)
		if err == nil {
			l.conns = append(l.conns, c)
			l.reading.Go(func() { l.count(c) })
			return nil
		}
		if !errors.Is(err, errRefused) || time.Now().After(end) {
			return err
		}
		<-pause.C
	}
}

// errRefused is the error of a node that is not ready.
var errRefused = errors.New("the node refuses a stream")

// open opens a stream, and returns it when the node has said that it is open.
func open(ctx context.Context, addr string, end time.Time) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := greet(c, addr, end); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// greet asks for a stream and waits until the node has said that it is open.
func greet(c net.Conn, addr string, end time.Time) error {
	if err := c.SetDeadline(end); err != nil {
		return err
	}
	const request = "GET /topics/%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s: [\"**\"]\r\n\r\n"
	if _, err := fmt.Fprintf(c, request, loadTopic, addr, grantsHeader); err != nil {
		return err
	}
	buf := make([]byte, 1<<10)
	for seen := []byte(nil); !bytes.Contains(seen, []byte("push.open")); {
		n, err := c.Read(buf)
		if seen = append(seen, buf[:n]...); bytes.Contains(seen, []byte("push.close")) {
			return fmt.Errorf("%w: %q", errRefused, seen)
		}
		if err != nil {
			return fmt.Errorf("the node ended a stream after %q: %w", seen, err)
		}
	}
	return c.SetDeadline(time.Time{})
}

func (l *Load) count(c net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		if marks := bytes.Count(buf[:n], []byte{loadMark}); marks > 0 && l.got.Add(int64(marks)) == l.want.Load() {
			l.all <- struct{}{}
		}
		if err != nil {
			select {
			case l.lost <- err:
			default:
			}
			return
		}
	}
}

// Burst publishes events of a size at once, and returns when every client has
// them all.
func (l *Load) Burst(events, size int) error {
	notes := make([]note, events)
	for i := range notes {
		l.sent++
		data := fmt.Sprintf("%c%d ", loadMark, l.sent)
		notes[i] = note{Topic: loadTopic, Data: data + strings.Repeat("x", max(size-len(data), 0))}
	}
	l.want.Add(int64(events * len(l.conns)))
	if _, err := l.run.try(notes); err != nil {
		return err
	}
	timeout := time.NewTimer(loadPatience)
	defer timeout.Stop()
	select {
	case <-l.all:
		return nil
	case err := <-l.lost:
		return err
	case <-timeout.C:
		return fmt.Errorf("a burst did not arrive in %v", loadPatience)
	}
}

// Close hangs up.
func (l *Load) Close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.reading.Wait()
	l.run.http.CloseIdleConnections()
}
