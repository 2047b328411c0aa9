package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// family lists pid and all its descendants.
func family(pid int) []int {
	kids := map[int][]int{}
	ents, _ := os.ReadDir("/proc")
	for _, e := range ents {
		p, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := statFields(p); f != nil {
			pp, _ := strconv.Atoi(f[1])
			kids[pp] = append(kids[pp], p)
		}
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, kids[out[i]]...)
	}
	return out
}

// statFields returns /proc/PID/stat from field 3 (state) on.
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(b, ')')
	return strings.Fields(string(b[i+2:]))
}

// procCPU is utime+stime of the processes in seconds.
func procCPU(pids []int) float64 {
	var t float64
	for _, p := range pids {
		// The sum over the tasks has nanosecond steps, /proc/PID/stat 10 ms ones.
		ents, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p))
		if err != nil {
			continue
		}
		for _, e := range ents {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", p, e.Name()))
			if err != nil {
				continue
			}
			ns, _ := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
			t += ns / 1e9
		}
	}
	return t
}

// procRSS is the resident memory of the processes in KB.
func procRSS(pids []int) int64 {
	var kb int64
	for _, p := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p))
		if err != nil {
			continue
		}
		n, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
		kb += n * int64(os.Getpagesize()) / 1024
	}
	return kb
}

// tcpMemKB is the kernel's memory for TCP buffers, all sockets of the machine.
func tcpMemKB() int64 {
	b, _ := os.ReadFile("/proc/net/sockstat")
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 10 && f[0] == "TCP:" {
			n, _ := strconv.ParseInt(f[10], 10, 64)
			return n * int64(os.Getpagesize()) / 1024
		}
	}
	return 0
}

// coreBusy is the busy time of one CPU in seconds, interrupts included.
func coreBusy(cpu int) float64 {
	b, _ := os.ReadFile("/proc/stat")
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) > 8 && f[0] == fmt.Sprintf("cpu%d", cpu) {
			var t float64
			for _, i := range []int{1, 2, 3, 6, 7} { // user nice system irq softirq
				v, _ := strconv.ParseFloat(f[i], 64)
				t += v / 100
			}
			return t
		}
	}
	return 0
}

func selfCPU() float64 {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return float64(ru.Utime.Sec+ru.Stime.Sec) + float64(ru.Utime.Usec+ru.Stime.Usec)/1e6
}

// tcpEstablished is TCP_ESTABLISHED of the kernel.
const tcpEstablished = 1

// serverState is the state of the server's end of the connection; 0: it is
// gone. Our own end cannot know: a FIN waits behind the data that we do not
// read.
func serverState(fd, port int) int {
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return 0
	}
	in4, ok := sa.(*syscall.SockaddrInet4)
	if !ok {
		return 0
	}
	// The kernel prints addresses as they lie in memory. Several of our source
	// addresses may use the same port.
	ip := in4.Addr
	mine := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], in4.Port)
	theirs := fmt.Sprintf(":%04X", port)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(name)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], theirs) && strings.HasSuffix(f[2], mine) {
				st, _ := strconv.ParseInt(f[3], 16, 32)
				return int(st)
			}
		}
	}
	return 0
}
