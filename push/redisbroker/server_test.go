package redisbroker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server of its own, on a socket in a directory of its own.
type server struct {
	tb   testing.TB
	dir  string
	args []string

	mu  sync.Mutex
	cmd *exec.Cmd
}

// Ways to be durable.
var (
	always   = []string{"--appendonly", "yes", "--appendfsync", "always"}
	everysec = []string{"--appendonly", "yes", "--appendfsync", "everysec"}
	snapshot = []string{"--appendonly", "no"} // by BGSAVE only
	kernel   = []string{"--appendonly", "yes", "--appendfsync", "no"}
)

// startServer starts a server that ends with the test.
func startServer(tb testing.TB, args ...string) *server {
	tb.Helper()
	s := newServer(tb, args...)
	s.start()
	return s
}

func newServer(tb testing.TB, args ...string) *server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "rb") // TempDir is too long for a socket's path
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{tb: tb, dir: dir, args: args}
	tb.Cleanup(func() {
		s.kill()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func (s *server) socket() string { return filepath.Join(s.dir, "redis.sock") }
func (s *server) data() string   { return filepath.Join(s.dir, "data") }

// said returns what the server has logged since it was started.
func (s *server) said() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Sprint(string(b), err)
}

// start starts the server and waits until it has loaded its data.
func (s *server) start() {
	s.tb.Helper()
	s.startAt(s.socket())
}

func (s *server) startAt(socket string) {
	s.tb.Helper()
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		s.tb.Fatal(err)
	}
	args := append([]string{
		"--port", "0", "--unixsocket", socket, "--dir", s.data(), "--save", "", "--loglevel", "warning",
		"--logfile", filepath.Join(s.dir, "log"),
	}, s.args...)
	s.mu.Lock()
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := s.cmd.Start()
	s.mu.Unlock()
	if err != nil {
		s.tb.Fatalf("redis-server: %v (make install installs it)", err)
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, DialerRetries: 1})
	defer closeClient(s.tb, rdb)
	eventually(s.tb, "the server answers", func() bool { return rdb.Ping(context.Background()).Err() == nil })
}

// cutLog removes the newest n transactions, of those that are there, from the
// server's append-only file while it is down: what a machine that lost its power
// had not written.
func (s *server) cutLog(n int) error {
	files, err := filepath.Glob(filepath.Join(s.data(), "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("append-only files %q, want one: %w", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	for range n {
		at := bytes.LastIndex(data, []byte("*1\r\n$5\r\nMULTI\r\n"))
		if at < 0 {
			break
		}
		data = data[:at]
	}
	return os.Truncate(files[0], int64(len(data)))
}

// kill is kill -9.
func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *server) restart() {
	s.tb.Helper()
	s.kill()
	s.start()
}

func (s *server) signal(sig os.Signal) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *server) client(more ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Network: "unix", Addr: s.socket(), PoolSize: 64}
	for _, f := range more {
		f(o)
	}
	return redis.NewClient(o)
}

// open returns a client that is closed with the test.
func (s *server) open(tb testing.TB, more ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	rdb := s.client(more...)
	tb.Cleanup(func() { closeClient(tb, rdb) })
	return rdb
}

func closeClient(tb testing.TB, rdb redis.UniversalClient) {
	tb.Helper()
	if err := rdb.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		tb.Error(err)
	}
}

// eventually waits until ok.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	const patience = 30 * time.Second
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("%s: not after %v", what, patience)
		}
	}
}

var names atomic.Int64

// unique returns a name that no other log of this process has.
func unique() string { return fmt.Sprint("log", names.Add(1)) }
