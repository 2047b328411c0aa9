package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// InMemory is the main function of a node over a log of its own, in memory: what
// CompareNodes holds others against.
func InMemory() error { return Main(push.NewMemory()) }

// CompareNodes puts a node over a log and a node over one in memory, turn by turn in
// one run, under 1000 SSE clients, and reports the processor time that a delivery
// takes the first, in ns and as the ratio to that of the second. One operation is a
// hundred bursts; a burst is one event, or 20. The commands are those of processes
// whose main functions are Main, over a log of the benchmark's own, and InMemory.
func CompareNodes(b *testing.B, log, memory func(b *testing.B) *exec.Cmd) {
	b.Helper()
	for _, burst := range []int{1, 20} {
		b.Run(fmt.Sprint("clients=1000/burst=", burst), func(b *testing.B) {
			compareNodes(b, startLoaded(b, log(b)), startLoaded(b, memory(b)), burst)
		})
	}
}

func compareNodes(b *testing.B, log, memory *loaded, burst int) {
	b.Helper()
	log.bursts(b, burst)
	memory.bursts(b, burst)
	var ours, theirs time.Duration
	n := 0
	for b.Loop() {
		ours += log.bursts(b, burst)
		theirs += memory.bursts(b, burst)
		n += loadedClients * burst * times
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(n), "cpu-ns/delivery")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "of_the_memory_broker")
}

const (
	loadedClients = 1000
	times         = 100 // long enough for the clock
)

// loaded is a node, which is a process, under load.
type loaded struct {
	*Load
	pid int
}

func startLoaded(b *testing.B, cmd *exec.Cmd) *loaded {
	b.Helper()
	n, err := StartProcess(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.Kill)
	load, err := NewLoad(b.Context(), n.URL, loadedClients)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(load.Close)
	return &loaded{load, cmd.Process.Pid}
}

// bursts publishes some events a hundred times, waits each time until every client has
// them, and returns the processor time that it took the node.
func (n *loaded) bursts(b *testing.B, events int) time.Duration {
	b.Helper()
	const size = 128
	before := cpu(b, n.pid)
	for range times {
		if err := n.Burst(events, size); err != nil {
			b.Fatal(err)
		}
	}
	return cpu(b, n.pid) - before
}

// tick is the unit of processor time in /proc.
const tick = 10 * time.Millisecond

// cpu returns the processor time that a process has taken, user and system.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * tick
}
