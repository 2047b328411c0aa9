package natsbroker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

// fewHistories are the random histories of a check, unless -rapid.checks says
// otherwise: each step of one costs a few requests.
const fewHistories = "8"

// atATime are the tests that run in parallel, unless -test.parallel says
// otherwise: most of them wait most of the time.
const atATime = "6"

// patience is how long tests wait for what must happen.
const patience = 30 * time.Second

// leftByNATS is a goroutine of nats.go that waits for ever if its connection is
// closed before it has begun: it reads the channel then that Close has cleared.
var leftByNATS = goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect")

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeURL); url != "" {
		runNode(url)
	}
	_, _ = flag.Set("rapid.checks", fewHistories), flag.Set("test.parallel", atATime)
	flag.Parse()
	code := m.Run()
	drainPool()
	if code == 0 {
		if err := goleak.Find(leftByNATS); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

var binaryDir string

// natsServer builds nats-server, once, from the module that needs it anyway.
var natsServer = sync.OnceValues(func() (string, error) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "nats-server"); err != nil {
		return "", err
	}
	path := filepath.Join(binaryDir, "nats-server")
	cmd := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	cmd.Dir = "embedded"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// server is a nats-server as a child process, on a port and in a directory that
// it keeps over restarts.
type server struct {
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
	log  lockedLog

	noJetStream bool
	cluster     bool // JetStream answers when the others are there, too
}

// lockedLog keeps what a server says.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newServer(args ...string) (*server, error) {
	dir, err := os.MkdirTemp("", "nats")
	return &server{port: freePort(), dir: dir, args: args}, err
}

// host is an address of this machine that is this process's own, so that nobody
// takes a server's port while it is down.
var host = netip.AddrFrom4([4]byte{127, 1 + byte(os.Getpid()>>16), byte(os.Getpid() >> 8), byte(os.Getpid())}).String()

var ports atomic.Int64

// freePort returns a port of host that is not used, and not one that the kernel
// gives to clients.
func freePort() int { return int(10_000 + ports.Add(1)) }

func (s *server) url() string { return "nats://" + net.JoinHostPort(host, strconv.Itoa(s.port)) }

// start starts the server and waits until it answers.
func (s *server) start() error { return s.startWith() }

func (s *server) startWith(opts ...nats.Option) error {
	path, err := natsServer()
	if err != nil {
		return err
	}
	args := append([]string{"-a", host, "-p", strconv.Itoa(s.port)}, s.args...)
	if !s.noJetStream {
		args = append(args, "-js", "-sd", s.dir)
	}
	s.cmd = exec.Command(path, args...)
	s.cmd.Stderr = &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		nc, err := nats.Connect(s.url(), append(opts, nats.Timeout(time.Second))...)
		if err != nil {
			continue
		}
		js, err := jetstream.New(nc)
		if err == nil && !s.noJetStream && !s.cluster {
			_, err = js.AccountInfo(context.Background())
		}
		nc.Close()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("nats-server is not up after %v: %s", patience, s.log.String())
}

// kill ends the server with a signal, and waits.
func (s *server) kill(sig os.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// freeze stops the server, and returns when it stands still.
func (s *server) freeze() error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if still, err := s.frozen(); still || err != nil {
			return err
		}
		runtime.Gosched()
	}
	return fmt.Errorf("nats-server runs %v after SIGSTOP", patience)
}

// frozen reports whether all threads are stopped.
func (s *server) frozen() (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return false, fmt.Errorf("no threads of nats-server in /proc: %w", err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		if _, state, ok := strings.Cut(string(stat), ") "); !ok || state[0] != 'T' {
			return false, nil
		}
	}
	return true, nil
}

func (s *server) thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *server) restart(sig os.Signal) error {
	s.kill(sig)
	return s.start()
}

func (s *server) remove() {
	s.kill(syscall.SIGKILL)
	_ = os.RemoveAll(s.dir)
}

// cutTail removes the newest n messages from a stream's file while the server is
// down: what a machine that lost its power had not written.
func (s *server) cutTail(stream string, n int) error {
	dir := filepath.Join(s.dir, "jetstream", "$G", "streams", stream, "msgs")
	blocks, err := filepath.Glob(filepath.Join(dir, "*.blk"))
	if err != nil || len(blocks) != 1 {
		return fmt.Errorf("%d blocks in %s, want one: %w", len(blocks), dir, err)
	}
	data, err := os.ReadFile(blocks[0])
	if err != nil {
		return err
	}
	var starts []int
	for at := 0; at < len(data); {
		starts = append(starts, at)
		at += int(binary.LittleEndian.Uint32(data[at:]) &^ (1 << 31))
	}
	if err := os.Truncate(blocks[0], int64(starts[len(starts)-n])); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "index.db")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pool has servers that run and that no test uses.
var pool struct {
	sync.Mutex
	free []*server
}

// lease returns a server that is the test's own until it ends: it may be killed.
func lease(tb testing.TB) *server {
	tb.Helper()
	pool.Lock()
	defer pool.Unlock()
	if n := len(pool.free); n > 0 {
		s := pool.free[n-1]
		pool.free = pool.free[:n-1]
		tb.Cleanup(s.giveBack)
		return s
	}
	s, err := newServer()
	if err == nil {
		tb.Cleanup(s.giveBack)
		err = s.start()
	}
	if err != nil {
		tb.Fatalf("nats-server: %v", err)
	}
	return s
}

func (s *server) giveBack() {
	pool.Lock()
	defer pool.Unlock()
	if s.cmd == nil {
		s.remove()
		return
	}
	pool.free = append(pool.free, s)
}

func drainPool() {
	for _, s := range pool.free {
		s.remove()
	}
}

// ownServer starts a server for one test.
func ownServer(tb testing.TB, args ...string) *server {
	tb.Helper()
	s, err := newServer(args...)
	if err == nil {
		tb.Cleanup(s.remove)
		err = s.start()
	}
	if err != nil {
		tb.Fatalf("nats-server: %v", err)
	}
	return s
}

// connect returns a connection as an app has it.
func connect(tb testing.TB, url string, opts ...nats.Option) jetstream.JetStream {
	tb.Helper()
	opts = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.ReconnectJitter(0, 0)}, opts...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		tb.Fatalf("connect to %s: %v", url, err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}
