package main

import (
	"fmt"
	"time"
)

// bench is one run: the loader, its publishers and what was published.
type bench struct {
	*loader
	r       result
	pid     int
	pids    []int // of the server and its children
	pubs    []*pubConn
	first   uint32 // next sequence number of every topic
	pending []pubJob
	sent    int
	rssMax  int64
	rssAt   time.Time
}

func newBench(cfg *config, pid int) (*bench, error) {
	l, err := newLoader(cfg)
	if err != nil {
		return nil, err
	}
	return &bench{loader: l, pid: pid, r: result{
		Key: cfg.key, Name: cfg.name, Test: cfg.test, Mode: cfg.mode, Subs: cfg.n, Topics: cfg.topics, Size: cfg.size,
	}}, nil
}

func (b *bench) run() error {
	b.findPids()
	b.r.RSSStartKB = procRSS(b.pids)
	if !b.subscribe() {
		return nil
	}
	if err := b.openPubs(); err != nil {
		return err
	}
	switch b.cfg.test {
	case "idle":
		b.gcRSS()
	case "broadcast", "topics", "stall":
		b.bursts()
	case "rate":
		b.fixedRate()
	case "reconnect":
		b.reconnect()
	default:
		return fmt.Errorf("unknown test %q", b.cfg.test)
	}
	b.r.Died, b.r.Why = b.died, b.failWhy
	return nil
}

// subscribe sets up all connections and says what one costs. It reports
// whether there is one.
func (b *bench) subscribe() bool {
	cfg := b.cfg
	sock0, cpu0 := tcpMemKB(), procCPU(b.pids)
	for i := range cfg.n {
		b.conns = append(b.conns, &conn{idx: i, stall: i >= cfg.n-cfg.stall})
	}
	t := b.connectAll()
	b.r.Established, b.r.Failed = b.established, b.failed
	b.r.ConnPerS = round4(float64(b.established) / t.Seconds())
	if b.established == 0 {
		b.r.Why = b.failWhy
		return false
	}
	b.findPids()
	b.spin(cfg.settle)
	b.r.ConnCPUus = round4((procCPU(b.pids) - cpu0) / float64(b.established) * 1e6)
	if cfg.test == "idle" {
		b.spin(cfg.idle)
	}
	b.r.RSSIdleKB = procRSS(b.pids)
	b.r.KBPerConn = round4(float64(b.r.RSSIdleKB-b.r.RSSStartKB) / float64(b.established))
	b.r.SockKB = round4(float64(tcpMemKB()-sock0) / float64(b.established))
	return true
}

// readers is how many connections are to get everything.
func (b *bench) readers() int { return b.cfg.n - b.cfg.stall }

func (b *bench) findPids() {
	if b.pid > 0 {
		b.pids = family(b.pid)
	}
}

// spin runs the loop for d.
func (b *bench) spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		b.wait(10)
	}
}

func (b *bench) connectAll() time.Duration {
	t0 := time.Now()
	next, done0 := 0, b.established+b.failed
	last, lastAt := 0, time.Now()
	for {
		done := b.established + b.failed - done0
		if done >= len(b.conns) {
			return time.Since(t0)
		}
		if done != last {
			last, lastAt = done, time.Now()
		} else if time.Since(lastAt) > 10*time.Second {
			b.failWhy = "connecting stands still; " + b.failWhy
			return time.Since(t0)
		}
		for next < len(b.conns) && next-done < b.cfg.conc {
			c := b.conns[next]
			c.st = stDialing
			b.dial(c)
			next++
			done = b.established + b.failed - done0
		}
		b.wait(100)
	}
}

func (b *bench) sampleRSS() {
	if time.Since(b.rssAt) > 250*time.Millisecond {
		b.rssAt = time.Now()
		b.rssMax = max(b.rssMax, procRSS(b.pids))
	}
}

// until runs the loop until the wanted number of deliveries came, or nothing
// came for -drain, or the deadline.
func (b *bench) until(want uint64, deadline time.Time) bool {
	last, lastAt := b.deliveries, time.Now()
	for b.deliveries < want {
		b.pump()
		b.wait(20)
		now := time.Now()
		b.sampleRSS()
		if b.deliveries != last || len(b.pending) > 0 && now.Sub(lastAt) < 10*time.Second {
			if b.deliveries != last {
				last, lastAt = b.deliveries, now
			}
			continue
		}
		if now.Sub(lastAt) > b.cfg.drain || now.After(deadline) {
			return false
		}
	}
	return true
}

func (b *bench) lost() (n uint64) {
	for _, c := range b.conns {
		if !c.stall {
			n += c.mark.lost(b.first)
		}
	}
	return n
}

// meter is a reading of all that is counted.
type meter struct {
	t               time.Time
	srv, core, self float64
	del             uint64
	sent            int
}

func (b *bench) meter() meter {
	return meter{time.Now(), procCPU(b.pids), coreBusy(b.cfg.srvCPU), selfCPU(), b.deliveries, b.sent}
}

// report fills in the result from what came since m, in wall seconds (0: up to
// now).
func (b *bench) report(m meter, wall float64) {
	n := b.meter()
	took := n.t.Sub(m.t).Seconds()
	if wall == 0 {
		wall = took
	}
	d := float64(n.del - m.del)
	r := &b.r
	r.Received = n.del - m.del
	r.Published = n.sent - m.sent
	r.PubPerS = round4(float64(r.Published) / wall)
	r.DelivPerS = round4(d / wall)
	r.CPUus = round4((n.srv - m.srv) / d * 1e6)
	r.CoreUs = round4((n.core - m.core) / d * 1e6)
	r.CPUusPub = round4((n.srv - m.srv) / float64(r.Published) * 1e6)
	r.SrvShare = round4((n.srv - m.srv) / took)
	r.LoadShare = round4((n.self - m.self) / took)
	r.P50, r.P99, r.P999, r.Max = round4(b.lat.ms(.5)), round4(b.lat.ms(.99)), round4(b.lat.ms(.999)), round4(float64(b.lat.max)/1e6)
	r.MaxGap = round4(float64(b.maxGap) / 1e6)
	r.Dup, r.OutOfOrder = b.dups, b.ooo
	r.RSSLoadKB = max(b.rssMax, procRSS(b.pids))
	r.Lost = b.lost()
	r.Expected = r.Received + r.Lost
	for _, p := range b.pubs {
		if p.bad > 0 {
			r.StopReason = fmt.Sprintf("%d publishes refused: %s", p.bad, p.why)
		}
	}
}
