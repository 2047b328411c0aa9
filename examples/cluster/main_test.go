package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// cluster is the program as a process of its own.
type cluster struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
}

// startCluster starts it; it is drained at the end of the test, and must not
// complain about anything.
func startCluster(t *testing.T, args ...string) *cluster {
	t.Helper()
	var complaints strings.Builder
	cmd := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=halt_on_error=1")
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	url, ok := strings.CutPrefix(lines.Text(), "The cluster is on ")
	if !ok {
		t.Fatalf("the cluster said %q %s", lines.Text(), complaints.String())
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil || complaints.Len() > 0 {
			t.Errorf("the cluster ended with %v and said %s", err, complaints.String())
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return &cluster{t, cmd, url}
}

func (c *cluster) do(method, path string, headers ...string) (status int, body string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// states returns the states of the nodes in their order.
func (c *cluster) states() string {
	c.t.Helper()
	var all []childState
	if _, body := c.do(http.MethodGet, "/nodes"); json.Unmarshal([]byte(body), &all) != nil {
		c.t.Fatalf("GET /nodes: %s", body)
	}
	var states []string
	for _, s := range all {
		states = append(states, s.State)
	}
	return strings.Join(states, " ")
}

// until waits for the states of the nodes.
func (c *cluster) until(states string) {
	c.t.Helper()
	eventually(c.t, "the nodes are "+states, func() bool { return c.states() == states })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestButtonsKillStartAndRestart(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.until("up up up")
	for _, do := range []struct{ path, states string }{
		{"/nodes/a/kill", "down up up"}, {"/nodes/b/kill", "down down up"}, {"/nodes/a/start", "up down up"},
		{"/nodes/c/restart", "up down up"}, {"/nodes/b/start", "up up up"},
	} {
		if status, body := c.do(http.MethodPost, do.path); status != http.StatusOK {
			t.Errorf("%s: %d %s", do.path, status, body)
		}
		c.until(do.states)
		if status, body := c.do(http.MethodGet, "/push/topics/ticks?limit=1", "Accept: application/json"); status != http.StatusOK {
			t.Errorf("after %s: %d %s", do.path, status, body)
		}
	}
	for path, status := range map[string]int{"/nodes/d/kill": 404, "/nodes/a/dance": 404} {
		if got, _ := c.do(http.MethodPost, path); got != status {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got, _ := c.do(http.MethodPost, "/nodes/a/kill", "Sec-Fetch-Site: cross-site"); got != http.StatusForbidden || c.states() != "up up up" {
		t.Errorf("a foreign page could kill a node: %d", got)
	}
}

// A node must not outlive the program that started it, however that ends, and must
// not end before it: Ctrl-C in a terminal interrupts both.
func TestNodesEndWithTheirParent(t *testing.T) {
	t.Parallel()
	c := newChild("a", onNATS(t)...)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ready := func() bool { return isReady(t.Context(), client, c.addr) }
	eventually(t, "the node is ready", ready)
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range 50 { // it would take a moment
		if !ready() {
			t.Error("an interrupt has begun the end of the node, and not of its parent")
			break
		}
	}
	c.mu.Lock()
	c.ending = true // by what comes now
	_ = c.stdin.Close()
	gone := c.gone
	c.mu.Unlock()
	select {
	case <-gone:
	case <-time.After(patience):
		c.kill()
		t.Error("the node lives on")
	}
}
