package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// What the files of deploy start nodes with is what a node understands, and none
// is killed before it has drained.
func TestFlagsInDeployAreThoseOfANode(t *testing.T) {
	args := regexp.MustCompile(`\["node"(?:, "[^"]*")+\]`)
	end := regexp.MustCompile(`(?:stop_grace_period: |terminationGracePeriodSeconds: )(\d+)s? # more`)
	for file, n := range map[string]int{"compose.yaml": 3, "kubernetes.yaml": 1} {
		text, err := os.ReadFile("deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		period := end.FindSubmatch(text)
		found := args.FindAll(text, -1)
		if len(found) != n || period == nil {
			t.Fatalf("%s starts %d nodes, and ends them after %q", file, len(found), period)
		}
		for _, list := range found {
			var words []string
			if err := json.Unmarshal(list, &words); err != nil {
				t.Fatal(err)
			}
			o, err := parseNode(words[1:], flag.ContinueOnError)
			if err != nil {
				t.Errorf("%s: %s: %v", file, list, err)
			}
			left, err := time.ParseDuration(string(period[1]) + "s")
			if err != nil || left < o.Grace+2*o.DrainWindow+time.Second || o.Grace == 0 {
				t.Errorf("%s: a node has %v to end, with a grace of %v and a drain window of %v", file, left, o.Grace, o.DrainWindow)
			}
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// haproxy runs it with the configuration of deploy, and returns its URL.
func haproxy(t *testing.T, nodes ...string) string {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			t.Fatal("haproxy is missing: make install, or on Debian apt-get install haproxy")
		}
	}
	addr := freeAddr(t)
	cmd := exec.Command(path, "-db", "-f", "deploy/haproxy.cfg")
	cmd.Env = append(os.Environ(), "LISTEN="+addr, "NODE_A="+nodes[0], "NODE_B="+nodes[1], "NODE_C="+nodes[2])
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("HAProxy said: %s", said.String())
		}
	})
	return "http://" + addr
}

// Behind HAProxy, as it is in deploy, nothing is lost when a node is killed, and
// when one is drained nobody is refused.
func TestNothingIsLostBehindHAProxy(t *testing.T) {
	t.Parallel()
	log := onNATS(t)
	nodes, addrs := make([]*child, 2), []string{"", "", freeAddr(t)} // the third is never there
	for i := range nodes {
		addrs[i] = freeAddr(t)
		nodes[i] = newChild(string(rune('a'+i)), append(log, "-addr", addrs[i], "-drain", "1s", "-grace", "5s")...)
		if err := nodes[i].start(); err != nil {
			t.Fatal(err)
		}
	}
	defer stopAll(nodes)
	front := haproxy(t, addrs...)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := func() int {
		res, err := client.Get(front + "/readyz")
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	eventually(t, "HAProxy has found a node", func() bool { return status() == http.StatusOK })

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	crowd := newCrowd(t)
	var refused atomic.Int32
	ended := make(chan struct{})
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(ended)
		for n := 1; publishing.Err() == nil; n++ {
			for !publishTick(ctx, client, front+"/push/topics/ticks", "t", n) {
				if ctx.Err() != nil {
					return
				}
				refused.Add(1)
			}
		}
	}()
	crowd.join(ctx, front+"/push/topics/ticks", 30)
	socket, _, err := websocket.Dial(ctx, front+"/push/topics/wall", &websocket.DialOptions{Subprotocols: []string{"push.v1"}, HTTPClient: client})
	if err != nil {
		t.Fatalf("no WebSocket through HAProxy: %v", err)
	}
	if _, hello, err := socket.Read(ctx); err != nil || !strings.Contains(string(hello), "push.open") {
		t.Errorf("the WebSocket's hello is %s, %v", hello, err)
	}
	_ = socket.CloseNow()
	goOn := func() {
		upTo := crowd.slowest()
		eventually(t, "all clients go on", func() bool { return crowd.slowest() > upTo+100 })
	}
	goOn()
	if err := nodes[0].restart(); err != nil {
		t.Error(err)
	}
	goOn()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d events were refused while a node drained", n)
	}
	eventually(t, "the node is back", func() bool { return isReady(ctx, client, addrs[0]) })
	nodes[1].kill()
	goOn()
	stop()
	<-ended
	cancel()
	crowd.wg.Wait()
	crowd.check()
}
