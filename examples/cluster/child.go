package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// child is a node as a process of its own, which can be killed and started
// again.
type child struct {
	name string
	args []string

	starting sync.Mutex // held while the process is started

	mu      sync.Mutex
	cmd     *exec.Cmd // nil while there is no process
	stdin   io.Closer // it ends when this is closed
	gone    chan struct{}
	ending  bool
	addr    string // where it listens
	ready   bool   // as far as the balancer knows
	open    int    // requests
	starts  int
	stopped bool // for good
}

func newChild(name string, args ...string) *child {
	own := []string{"node", "-child", "-addr", "127.0.0.1:0", "-name", name, "-proxies", "127.0.0.0/8", "-grace", "300ms"}
	return &child{name: name, args: slices.Concat(own, args)}
}

var errRuns = errors.New("the node runs already")

// start starts the process, and returns once it listens.
func (c *child) start() error {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.isRunning() {
		return errRuns
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, c.args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	addr, ok := strings.CutPrefix(lines.Text(), "The wall is on http://")
	if !ok {
		_ = cmd.Process.Kill()
		return fmt.Errorf("node %s did not start: it said %q: %w", c.name, lines.Text(), cmd.Wait())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd, c.stdin, c.gone, c.addr, c.ending, c.ready = cmd, stdin, make(chan struct{}), addr, false, false
	c.starts++
	go c.watch(cmd, lines)
	return nil
}

func (c *child) isRunning() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd != nil || c.stopped
}

// watch waits for the end of the process.
func (c *child) watch(cmd *exec.Cmd, lines *bufio.Scanner) {
	for lines.Scan() { // until its output ends
	}
	err := cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !c.ending && !c.stopped {
		fmt.Fprintf(os.Stderr, "cluster: node %s has ended: %v\n", c.name, err)
	}
	_ = c.stdin.Close()
	c.cmd, c.ready = nil, false
	close(c.gone)
}

// end sends a signal, and returns a channel that is closed once the process is
// gone.
func (c *child) end(signal os.Signal) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	c.ending, c.ready = true, false
	_ = c.cmd.Process.Signal(signal)
	return c.gone
}

func (c *child) kill() { <-c.end(syscall.SIGKILL) }

// restart lets the node drain, and starts it again.
func (c *child) restart() error {
	<-c.end(syscall.SIGTERM)
	return c.start()
}

// stop ends the node for good.
func (c *child) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.starting.Lock() // one that is being started is there then
	defer c.starting.Unlock()
	<-c.end(syscall.SIGTERM)
}

// childState is what the page shows of a node.
type childState struct {
	Name   string `json:"name"`
	State  string `json:"state"` // "up", "draining", "down" or, while it is not ready, "starting"
	Starts int    `json:"starts"`
}

func (c *child) state() childState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := childState{Name: c.name, State: "starting", Starts: c.starts}
	switch {
	case c.cmd == nil:
		s.State = "down"
	case c.ending:
		s.State = "draining"
	case c.ready:
		s.State = "up"
	}
	return s
}
