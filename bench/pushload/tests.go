package main

import (
	"net/http"
	"time"
)

// warm publishes a little before the measured phase. What it loses is not
// counted.
func (b *bench) warm() {
	b.publish(5, 0)
	b.until(b.deliveries+5*uint64(b.readers()), time.Now().Add(3*time.Second))
	for _, c := range b.conns {
		c.mark.forget(b.first)
	}
}

// bursts publishes bursts of -batch events, the next as soon as all arrived.
func (b *bench) bursts() {
	b.warm()
	b.record = true
	b.lastRecv, b.maxGap = 0, 0
	b.findPids()
	m := b.meter()
	end := m.t.Add(b.cfg.dur)
	failed := 0
	var lastOK time.Time
	for time.Now().Before(end) && b.r.StopReason == "" {
		switch {
		case b.burst():
			lastOK = time.Now()
		case b.r.StopReason != "":
		case failed == 2:
			b.r.StopReason = "three bursts lost events"
			fallthrough
		default:
			failed++
		}
	}
	// Time spent waiting for what never came is not throughput.
	wall := time.Since(m.t).Seconds() - float64(failed)*b.cfg.drain.Seconds()
	if failed == 0 && !lastOK.IsZero() {
		wall = lastOK.Sub(m.t).Seconds()
	}
	b.report(m, wall)
	b.countStalled()
}

// burst publishes one burst and reports whether all of it arrived.
func (b *bench) burst() bool {
	all := uint64(b.cfg.batch * b.readers())
	before := b.lost()
	want := b.deliveries + all
	b.publish(b.cfg.batch, 0)
	if b.until(want, time.Now().Add(time.Hour)) {
		return true
	}
	if b.lost()-before >= all {
		b.r.StopReason = "nothing arrived for " + b.cfg.drain.String()
	}
	return false
}

func (b *bench) countStalled() {
	b.r.Stalled = b.cfg.stall
	for _, c := range b.conns {
		if c.stall && serverState(c.fd, b.target.Port) != tcpEstablished {
			b.r.StalledShut++
		}
	}
}

func (b *bench) fixedRate() {
	cfg := b.cfg
	b.warm()
	b.record = true
	n := int(cfg.rate * cfg.dur.Seconds())
	want := b.deliveries + uint64(n*b.readers())
	m := b.meter()
	if cfg.pubURL == "" {
		b.publish(n, cfg.rate)
	} else {
		b.paced(n, m.t)
	}
	b.until(want, m.t.Add(cfg.dur+cfg.drain))
	b.report(m, cfg.dur.Seconds())
}

// paced publishes by requests, at their times.
func (b *bench) paced(n int, t0 time.Time) {
	topics := max(b.cfg.topics, 1)
	for i := range n {
		at := t0.Add(time.Duration(float64(i) / b.cfg.rate * 1e9))
		for d := time.Until(at); d > 0; d = time.Until(at) {
			b.pump()
			b.wait(int(d / time.Millisecond))
		}
		for t := range topics {
			b.pending = append(b.pending, pubJob{t, b.first})
		}
		b.first++
		b.sent += topics
		b.pump()
		b.sampleRSS()
	}
}

// gcRSS reads the memory that is left when the server frees what it can.
func (b *bench) gcRSS() {
	if b.cfg.gc == "" {
		return
	}
	resp, err := http.Get(b.cfg.gc)
	if err != nil {
		return
	}
	_ = resp.Body.Close()
	b.spin(500 * time.Millisecond)
	b.r.KBPerConnGC = round4(float64(procRSS(b.pids)-b.r.RSSStartKB) / float64(b.established))
}

// reconnect drops every connection, publishes -missed events while they are
// away and measures how long it takes until all are back and caught up.
func (b *bench) reconnect() {
	cfg := b.cfg
	b.leave()
	b.r.Missed = cfg.missed
	b.publish(cfg.missed, 0)
	for t := time.Now(); time.Since(t) < 3*time.Second && b.publishing(); {
		b.pump()
		b.wait(5)
	}
	b.spin(b.cfg.away / 3)
	b.dups, b.ooo, b.record, b.lat = 0, 0, false, hist{}
	b.findPids()
	m := b.meter()
	want := b.deliveries + uint64(cfg.missed*cfg.n)
	e0 := b.established
	t := b.connectAll()
	b.r.ReconnectS = round4(t.Seconds())
	b.r.ConnPerS = round4(float64(b.established-e0) / t.Seconds())
	ok := b.until(want, time.Now().Add(10*time.Second))
	caught := time.Since(m.t).Seconds()
	b.report(m, 0)
	if ok {
		b.r.CaughtUpS = round4(caught)
	}
	b.liveAgain()
}

// leave publishes until every connection has an event id, and drops them all.
func (b *bench) leave() {
	n := uint64(b.readers())
	want := b.deliveries + 20*n
	for range 20 { // one by one: ids must be known
		b.publish(1, 0)
		b.until(b.deliveries+n, time.Now().Add(2*time.Second))
	}
	b.until(want, time.Now().Add(3*time.Second))
	for _, c := range b.conns {
		if b.findLast(c, c.tail) {
			b.r.ResumeIDs++
		}
		c.mark.forget(b.first)
		b.close(c)
	}
	b.spin(b.cfg.away)
}

// liveAgain counts what is lost of live events after the storm.
func (b *bench) liveAgain() {
	lost0 := b.r.Lost
	for _, c := range b.conns {
		if c.mark.next < b.first {
			c.mark.holes = append(c.mark.holes, [2]uint32{c.mark.next, b.first})
			c.mark.next = b.first
		}
	}
	want := b.deliveries + uint64(10*b.cfg.n)
	b.publish(10, 0)
	b.until(want, time.Now().Add(5*time.Second))
	lost := b.lost()
	b.r.LiveLost = lost - min(lost0, lost)
}
