package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// server is the server under test. cmd is nil if it ran before.
type server struct {
	cmd *exec.Cmd
	pid int
}

// startServer starts the server on its CPU and waits until it listens.
func startServer(cfg *config) (*server, error) {
	if listens(cfg.addr) {
		return nil, fmt.Errorf("%s is in use", cfg.addr)
	}
	args := strings.Fields(cfg.start)
	if cfg.srvCPU >= 0 {
		args = append([]string{"taskset", "-c", strconv.Itoa(cfg.srvCPU)}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), cfg.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children are stopped with it
	if cfg.srvLog != "" {
		f, err := os.OpenFile(cfg.srvLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		cmd.Stdout, cmd.Stderr = f, f
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd, cmd.Process.Pid}
	for range 200 {
		time.Sleep(50 * time.Millisecond)
		if listens(cfg.addr) {
			time.Sleep(300 * time.Millisecond)
			return s, nil
		}
	}
	s.stop()
	return nil, fmt.Errorf("the server did not listen on %s: %s", cfg.addr, cfg.start)
}

func listens(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.pid, syscall.SIGTERM)
	kill := time.AfterFunc(2*time.Second, func() { _ = syscall.Kill(-s.pid, syscall.SIGKILL) })
	defer kill.Stop()
	_ = s.cmd.Wait()
}

// stopOnSignal keeps an interrupted run from leaving its server behind: the
// server has a process group of its own.
func (s *server) stopOnSignal() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ch
		_ = syscall.Kill(-s.pid, syscall.SIGKILL)
		os.Exit(130)
	}()
}

// ownCPU keeps the loader to one CPU and one thread, with little collecting.
func ownCPU(cpu int) {
	runtime.LockOSThread()
	if cpu >= 0 {
		tasks, _ := os.ReadDir("/proc/self/task")
		for _, t := range tasks {
			id, _ := strconv.Atoi(t.Name())
			pin(id, cpu)
		}
		runtime.GOMAXPROCS(1)
	}
	debug.SetGCPercent(800)
}

func pin(tid, cpu int) {
	var mask [16]uint64
	mask[cpu/64] = 1 << (cpu % 64)
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
}
