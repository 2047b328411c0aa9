package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/sse"
)

// fromEnv returns a number that a long form of a test has from the environment.
func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// crowd are clients that read the ticks, and check that none is missing and none
// comes twice.
type crowd struct {
	t    *testing.T
	http *http.Client
	wg   sync.WaitGroup

	mu     sync.Mutex
	opened []time.Time // all connections
	last   []int       // tick of each client
	faults []string
}

func newCrowd(t *testing.T) *crowd {
	return &crowd{t: t, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// join adds clients, and waits until they read.
func (c *crowd) join(ctx context.Context, url string, n int) {
	c.t.Helper()
	c.last = make([]int, n)
	for i := range n {
		c.wg.Go(func() { c.follow(ctx, url, i) })
		if i%50 == 49 {
			eventually(c.t, "clients are connected", func() bool { return c.connections() > i-200 }) // not all at once
		}
	}
	eventually(c.t, "all clients read", func() bool { return c.slowest() > 0 })
}

func (c *crowd) follow(ctx context.Context, url string, i int) {
	client := sse.NewClient(url, &sse.ClientOptions{
		HTTPClient: c.http, MaxWait: 2 * time.Second, RetryStatus: func(status int) bool { return status >= 500 },
	})
	for e, err := range client.Events(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				c.faultf("client %d: %v", i, err)
			}
			return
		}
		c.take(i, e)
	}
}

func (c *crowd) take(i int, e sse.Event) {
	switch e.Name {
	case "push.open":
		c.mu.Lock()
		c.opened = append(c.opened, time.Now())
		c.mu.Unlock()
	case "push.gap":
		c.faultf("client %d was told of a gap: %s", i, e.Data)
	case "tick":
		var tick struct{ N int }
		if err := json.Unmarshal(e.Data, &tick); err != nil {
			c.faultf("%v", err)
		}
		c.mu.Lock()
		last := c.last[i]
		c.last[i] = tick.N
		c.mu.Unlock()
		if last != 0 && tick.N != last+1 {
			c.faultf("client %d: tick %d after tick %d", i, tick.N, last)
		}
	}
}

func (c *crowd) faultf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// check fails the test for what was wrong, once the clients have ended.
func (c *crowd) check() {
	c.t.Helper()
	for _, fault := range c.faults[:min(len(c.faults), 10)] {
		c.t.Error(fault)
	}
}

func (c *crowd) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.opened)
}

// slowest returns the last tick that all have.
func (c *crowd) slowest() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	least := c.last[0]
	for _, n := range c.last {
		least = min(least, n)
	}
	return least
}

// reconnects returns how many there were after a time, how many in the busiest
// second, and the mean of those seconds in which there were any.
func (c *crowd) reconnects(since time.Time) (n, most int, mean float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	perSecond := map[int]int{}
	first, last := -1, 0
	for _, at := range c.opened {
		if s := int(at.Sub(since).Seconds()); at.After(since) {
			n++
			perSecond[s]++
			most = max(most, perSecond[s])
			if first < 0 {
				first = s
			}
			first, last = min(first, s), max(last, s)
		}
	}
	return n, most, float64(n) / float64(last-first+1)
}

// A rolling restart of all nodes loses nothing, and brings no herd. The long form
// is make rolling: 3000 clients, of which it prints the rates.
func TestRollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	clients, seconds := fromEnv(t, "CLIENTS", 150), fromEnv(t, "DRAIN", 1)
	c := startCluster(t, "-drain", fmt.Sprintf("%ds", seconds), "-every", "200ms")
	c.until("up up up")
	ctx, cancel := context.WithCancel(t.Context())
	crowd := newCrowd(t)
	crowd.join(ctx, c.url+"/push/topics/ticks", clients)
	begun := time.Now()
	for _, node := range []string{"a", "b", "c"} {
		if status, body := c.do(http.MethodPost, "/nodes/"+node+"/restart"); status != http.StatusOK {
			t.Errorf("restart of %s: %d %s", node, status, body)
		}
		c.until("up up up")
	}
	upTo := crowd.slowest()
	eventually(t, "all clients have come back", func() bool { return crowd.slowest() > upTo+10+10*seconds })
	took := time.Since(begun)
	cancel()
	crowd.wg.Wait()
	crowd.check()
	n, most, mean := crowd.reconnects(begun)
	t.Logf("%d clients, three nodes restarted in %v: %d reconnects, %.0f a second on average, %d in the busiest: %.2f times as many",
		clients, took.Round(time.Second), n, mean, most, float64(most)/mean)
	if n < clients*2/3 {
		t.Errorf("%d reconnects of %d clients: the restart was none", n, clients)
	}
	if clients >= 1000 && float64(most) > 2*mean {
		t.Errorf("in the busiest second %d have come back, the mean is %.0f", most, mean)
	}
}
