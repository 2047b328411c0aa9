package redisbroker_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/pushtest/fleet"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// nodeSocket makes this test binary a node of a fleet, and says where its server
// is: nowhere if it is inMemory.
const (
	nodeSocket = "REDISBROKER_NODE_SOCKET"
	inMemory   = "memory:"
)

// everythingIsKept has topics lose nothing while a fleet runs.
var everythingIsKept = []push.Rule{{Pattern: "**", Retention: push.Retention{Count: -1}}}

func runNode(socket string) {
	if socket == inMemory {
		_ = fleet.InMemory()
		os.Exit(0)
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	b := redisbroker.NewWithConfig(rdb, redisbroker.Config{Rules: everythingIsKept, Timeout: 3 * time.Second})
	if err := errors.Join(fleet.Main(b), rdb.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// nodes are processes that know a server.
func (s *server) nodes() (fleet.Node, error) {
	return fleet.StartProcess(nodeCommand(s.socket()))
}

func nodeCommand(socket string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), nodeSocket+"="+socket)
	return cmd
}

// TestFleetSurvivesKills: two nodes and the server are killed again and again.
// Nothing is lost, doubled or reordered, and there is no gap.
func TestFleetSurvivesKills(t *testing.T) {
	s := startServer(t, always...)
	f := fleet.Fleet{
		Start: s.nodes, Clients: 40, Events: 4500, NodeKills: 5, Breaks: 5,
		Break: func(int) error { s.restart(); return nil },
	}
	want := 100_000
	if *long {
		f.Events, f.NodeKills, f.Breaks, want = 10*f.Events, 50, 50, 10*want
	}
	out := f.Run(t)
	t.Logf("%+v", out)
	if out.All() < want {
		t.Errorf("%d deliveries, want %d at least", out.All(), want)
	}
}

// TestFleetSurvivesPauses: the server stands still for longer than its clients
// wait, and goes on.
func TestFleetSurvivesPauses(t *testing.T) {
	t.Parallel()
	s := startServer(t, always...)
	out := fleet.Fleet{
		Start: s.nodes, Clients: 10, Events: 1000, NodeKills: 1, Breaks: 2,
		Break: func(int) error {
			s.signal(syscall.SIGSTOP)
			pause := time.NewTimer(4 * time.Second)
			defer pause.Stop()
			<-pause.C
			s.signal(syscall.SIGCONT)
			return nil
		},
	}.Run(t)
	t.Logf("%+v", out)
}

// TestFleetIsToldOfALostEnd: the server comes back without its newest events,
// which clients had seen.
func TestFleetIsToldOfALostEnd(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		keep func(rdb *redis.Client) error // once in a while
	}{
		"everysec": {everysec, func(*redis.Client) error { return nil }},
		"RDB":      {snapshot, func(rdb *redis.Client) error { return rdb.Save(t.Context()).Err() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, c.args...)
			rdb := s.open(t)
			out := fleet.Fleet{
				Start: s.nodes, Clients: 10, Events: 1000, NodeKills: 1, Breaks: 3, Loses: true,
				Break: func(n int) error {
					s.kill()
					err := s.loseEnd()
					s.start()
					return errors.Join(err, c.keep(rdb))
				},
			}.Run(t)
			t.Logf("%+v", out)
			if out.Gaps < 10 {
				t.Errorf("the end was lost three times under 10 readers, and they were told %d gaps", out.Gaps)
			}
		})
	}
}

// loseEnd cuts what a machine that lost its power had not written: of a log of
// everything the newest 20 transactions, of snapshots nothing more.
func (s *server) loseEnd() error {
	if slices.Contains(s.args, "yes") { // of --appendonly
		return s.cutLog(20)
	}
	return nil
}
