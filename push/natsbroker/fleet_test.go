package natsbroker_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/pushtest/fleet"
)

// nodeURL and nodeReplicas make this test binary a node of a fleet, over no server if
// the URL is inMemory.
const (
	nodeURL      = "NATSBROKER_NODE_URL"
	nodeReplicas = "NATSBROKER_NODE_REPLICAS"
	inMemory     = "memory:"
)

// long makes the tests as long as they are worth; see make soak-fleet.
var long = flag.Bool("long", false, "1,000,000 deliveries, 50 kills of nodes and 50 of the server; every page of the suite")

func nodeConfig() natsbroker.Config {
	cfg := natsbroker.Config{Count: -1, Timeout: 3 * time.Second}
	_, _ = fmt.Sscan(os.Getenv(nodeReplicas), &cfg.Replicas)
	return cfg
}

func runNode(url string) {
	if url == inMemory {
		_ = fleet.InMemory()
		os.Exit(0)
	}
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	if err == nil {
		var js jetstream.JetStream
		if js, err = jetstream.New(nc); err == nil {
			err = fleet.Main(natsbroker.NewWithConfig(js, nodeConfig()))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// processes returns a Start whose nodes are processes that know these servers.
func processes(replicas int, servers ...*server) func() (fleet.Node, error) {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s.url()
	}
	return func() (fleet.Node, error) {
		return fleet.StartProcess(nodeCommand(replicas, urls...))
	}
}

func nodeCommand(replicas int, urls ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), nodeURL+"="+strings.Join(urls, ","), nodeReplicas+"="+fmt.Sprint(replicas))
	return cmd
}

// TestFleetSurvivesKills: two nodes and the server are killed again and again.
// Nothing is lost, doubled or reordered, and there is no gap.
func TestFleetSurvivesKills(t *testing.T) {
	s := ownServer(t)
	f := fleet.Fleet{
		Start: processes(1, s), Nodes: 2, Clients: 40, Events: 4500, NodeKills: 5, Breaks: 5,
		Break: func(int) error { return s.restart(syscall.SIGKILL) },
	}
	want := 100_000
	if *long {
		f.Events, f.NodeKills, f.Breaks, want = 10*f.Events, 50, 50, 10*want
	}
	out := f.Run(t)
	t.Logf("%d deliveries, %+v", out.All(), out)
	if out.All() < want {
		t.Errorf("%d deliveries, want %d at least", out.All(), want)
	}
}

// TestFleetSurvivesPauses: the server stands still for longer than its clients
// wait, and goes on.
func TestFleetSurvivesPauses(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	out := fleet.Fleet{
		Start: processes(1, s), Clients: 10, Events: 1000, NodeKills: 1, Breaks: 2,
		Break: func(int) error {
			if err := s.freeze(); err != nil {
				return err
			}
			pause := time.NewTimer(4 * time.Second)
			defer pause.Stop()
			<-pause.C
			s.thaw()
			return nil
		},
	}.Run(t)
	t.Logf("%+v", out)
}

// TestFleetIsToldOfALostEnd: the server comes back without its newest messages,
// which clients had seen.
func TestFleetIsToldOfALostEnd(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	out := fleet.Fleet{
		Start: processes(1, s), Clients: 10, Events: 1000, NodeKills: 1, Breaks: 3, Loses: true,
		Break: func(int) error {
			s.kill(syscall.SIGKILL)
			if err := s.cutTail("PUSH", 20); err != nil {
				return err
			}
			return s.start()
		},
	}.Run(t)
	t.Logf("%+v", out)
	if out.Gaps < 10 {
		t.Errorf("the end was lost three times under 10 readers, and they were told %d gaps", out.Gaps)
	}
}

// TestClusterLosesItsLeader: three servers with three replicas. Each time the
// stream's leader is killed, another takes over.
func TestClusterLosesItsLeader(t *testing.T) {
	servers := cluster(t)
	out := fleet.Fleet{
		Start: processes(3, servers...), Clients: 20, Events: 1500, NodeKills: 2, Breaks: 3, Converge: 5 * time.Second,
		Break: func(n int) error {
			return stopLeader(t, servers, []os.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM}[n])
		},
	}.Run(t)
	t.Logf("%+v", out)
}

// cluster starts three servers that are one.
func cluster(t *testing.T) []*server {
	t.Helper()
	servers, routes := make([]*server, 3), make([]string, 3)
	for i := range servers {
		s, err := newServer()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.remove)
		servers[i], routes[i] = s, "nats://"+net.JoinHostPort(host, strconv.Itoa(freePort()))
	}
	for i, s := range servers {
		s.args = []string{"--name", fmt.Sprint("n", i), "--cluster_name", "test", "--cluster", routes[i], "--routes", strings.Join(routes, ",")}
		s.cluster = true
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
	waitForCluster(t, servers)
	return servers
}

// waitForCluster waits until streams can be created.
func waitForCluster(t *testing.T, servers []*server) {
	t.Helper()
	js := connect(t, servers[0].url())
	wait := time.NewTicker(50 * time.Millisecond)
	defer wait.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-wait.C {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "READY", Subjects: []string{"ready"}, Replicas: 3})
		cancel()
		if err == nil {
			return
		}
	}
	t.Fatalf("the cluster has no leader after %v: %s", patience, servers[0].log.String())
}

// stopLeader stops the server that leads the stream, waits until another does,
// and starts it again.
func stopLeader(t *testing.T, servers []*server, sig os.Signal) error {
	t.Helper()
	leader, err := leaderOf(t, servers)
	if err != nil {
		return err
	}
	begun := time.Now()
	leader.kill(sig)
	if _, err := leaderOf(t, servers); err != nil {
		return err
	}
	t.Logf("%v: another leader after %v", sig, time.Since(begun))
	return leader.start()
}

// leaderOf returns the server that leads the stream, once one does that runs.
func leaderOf(t *testing.T, servers []*server) (*server, error) {
	t.Helper()
	wait := time.NewTicker(20 * time.Millisecond)
	defer wait.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-wait.C {
		for _, s := range servers {
			if s.cmd == nil {
				continue
			}
			if name := leaderName(t, s); name != "" {
				for i, l := range servers {
					if name == fmt.Sprint("n", i) && l.cmd != nil {
						return l, nil
					}
				}
			}
		}
	}
	return nil, fmt.Errorf("the stream has no leader after %v", patience)
}

func leaderName(t *testing.T, s *server) string {
	t.Helper()
	nc, err := nats.Connect(s.url(), nats.Timeout(time.Second))
	if err != nil {
		return ""
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, "PUSH")
	if err != nil || stream.CachedInfo().Cluster == nil {
		return ""
	}
	return stream.CachedInfo().Cluster.Leader
}
