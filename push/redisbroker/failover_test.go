package redisbroker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/pushtest"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// pair is a master with a replica, which a Sentinel watches, and a site whose
// client asks the Sentinel where the master is.
type pair struct {
	*pushtest.Site
	master, replica *server
	toReplica       *redis.Client
	sentinel        string
	toSentinel      *redis.SentinelClient
}

func newPair(t *testing.T) *pair {
	t.Helper()
	ports := freePorts(t, 3)
	p := &pair{
		master:   startServer(t, append([]string{"--port", ports[0]}, always...)...),
		replica:  startServer(t, append([]string{"--port", ports[1], "--replicaof", "127.0.0.1", ports[0]}, always...)...),
		sentinel: "127.0.0.1:" + ports[2],
	}
	p.toReplica = p.replica.open(t)
	startSentinel(t, ports[0], ports[2])
	eventually(t, "the replica follows", func() bool { return p.infoOfReplica("master_link_status") == "up" })
	p.toSentinel = redis.NewSentinelClient(&redis.Options{Addr: p.sentinel})
	t.Cleanup(func() { _ = p.toSentinel.Close() })
	eventually(t, "Sentinel knows the replica", func() bool {
		list, err := p.toSentinel.Replicas(t.Context(), "log").Result()
		return err == nil && len(list) == 1 && list[0]["flags"] == "slave"
	})
	return p
}

// freePorts returns ports that nobody has.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// startSentinel starts a redis-sentinel that is sure enough alone.
func startSentinel(t *testing.T, master, port string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nsentinel monitor log 127.0.0.1 %s 1\nsentinel down-after-milliseconds log 1000\nsentinel failover-timeout log 5000\n",
		port, master)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-sentinel", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-sentinel: %v (make install installs it)", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// open opens the site, with a reader at the head.
func (p *pair) open(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	t.Cleanup(func() { closeClient(t, rdb) })
	p.Site = pushtest.NewSite(t, redisbroker.New(rdb))
	p.Says = p.replica.said
	p.Subscribe(push.FromHead())
}

func (p *pair) infoOfReplica(field string) string {
	info, _ := p.toReplica.Info(context.Background(), "replication").Result()
	_, rest, _ := strings.Cut(info, "\r\n"+field+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// replicated waits until the replica has an event.
func (p *pair) replicated(id push.ID) {
	p.Helper()
	p.Eventually("the replica has it", func() bool {
		q, err := p.toReplica.HGet(context.Background(), "{push}:state", "q").Uint64()
		return err == nil && q >= id.Seq
	})
}

// detach cuts the replica off from its master.
func (p *pair) detach() {
	p.Helper()
	if err := p.toReplica.Do(p.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		p.Fatal(err)
	}
}

// publishes does so as soon as that works.
func (p *pair) publishes() (id push.ID) {
	p.Helper()
	p.Eventually("Publish works", func() bool {
		ids, err := p.Hub.Publish(p.Context(), push.Event{Topic: "a", Idem: "after"})
		if err == nil {
			id = ids[0]
		}
		return err == nil
	})
	return id
}

func (p *pair) failover() redis.UniversalClient {
	return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "log", SentinelAddrs: []string{p.sentinel}})
}

// The master dies, the replica has everything and takes over: the log goes on,
// and nobody is told anything.
func TestReplicaTakesOver(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.open(t, p.failover())
	ids := p.Publish(5)
	p.replicated(ids[4])
	p.master.kill()
	next := p.publishes()
	if next.Epoch != ids[0].Epoch {
		t.Errorf("the log went on as %v, nothing of %v was lost", next, ids)
	}
	p.Gets(append(ids, next)...)
}

// Row 46: the replica that takes over has not got all that was acknowledged.
func TestReplicaThatLagsTakesOver(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.open(t, p.failover())
	ids := p.Publish(5)
	p.replicated(ids[4])
	p.detach()
	lost := p.Publish(3)
	p.Gets(append(ids, lost...)...)
	p.master.kill()
	next := p.publishes()
	if next.Epoch == lost[0].Epoch {
		t.Fatalf("the log went on as %v, though %v were lost", next, lost)
	}
	if g := p.Gap(push.ReasonEpoch); g.From != lost[2] || g.To.Epoch != next.Epoch {
		t.Errorf("the reader at %v got the gap %+v", lost[2], g)
	}
}

// feedOf is a hook for a client that might read the feed from any server: it reads it
// from this one.
type feedOf struct{ *redis.Client }

func (feedOf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f feedOf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "xread" {
			return f.Process(ctx, cmd)
		}
		return next(ctx, cmd)
	}
}

func (feedOf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Row 47: a client that reads from replicas hears nothing from one that is cut
// off from its master, though the connection to it is fine.
func TestFeedIsOfADetachedReplica(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rdb := redis.NewFailoverClusterClient(&redis.FailoverOptions{
		MasterName: "log", SentinelAddrs: []string{p.sentinel}, RouteRandomly: true,
	})
	rdb.AddHook(feedOf{p.toReplica})
	p.open(t, rdb)
	p.Gets(p.Publish(5)...)
	// After so long Sentinel attaches the replica again.
	if err := p.toSentinel.Set(t.Context(), "log", "failover-timeout", "3600000").Err(); err != nil {
		t.Fatal(err)
	}
	p.detach()
	for range 3 {
		begun := time.Now()
		p.Gets(p.Publish(1)...)
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("noticed after %v", d)
		}
	}
}
