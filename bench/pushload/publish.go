package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// pubConn is one keep-alive HTTP connection that publishes.
type pubConn struct {
	c    *conn
	up   bool
	busy bool
	acc  []byte
	bad  int
	why  string
}

type pubJob struct {
	topic int
	seq   uint32
}

func (b *bench) openPubs() error {
	cfg := b.cfg
	if cfg.burst == "" && cfg.pubURL == "" {
		return nil
	}
	n := cfg.pubConns
	if cfg.pubURL == "" {
		n = 1
	}
	for i := range n {
		p := &pubConn{}
		p.c = &conn{pub: p, idx: i}
		b.dial(p.c)
		b.pubs = append(b.pubs, p)
	}
	for t := time.Now(); time.Since(t) < 5*time.Second; b.wait(10) {
		up := 0
		for _, p := range b.pubs {
			if p.up {
				up++
			}
		}
		if up == n {
			return nil
		}
	}
	return fmt.Errorf("publishing connections did not come up: %s", b.failWhy)
}

// publish asks for n events on every topic, all at once (rate 0) or n at rate/s.
func (b *bench) publish(n int, rate float64) {
	cfg := b.cfg
	topics := max(cfg.topics, 1)
	if cfg.pubURL == "" {
		// In a topics test the server publishes n*topics events round-robin.
		path := strings.NewReplacer("{n}", strconv.Itoa(n*topics), "{size}", strconv.Itoa(cfg.size),
			"{rate}", strconv.FormatFloat(rate*float64(topics), 'f', -1, 64), "{topics}", strconv.Itoa(topics),
			"{first}", strconv.FormatUint(uint64(b.first), 10)).Replace(pathOf(cfg.burst))
		b.pubs[0].send(b.loader, "GET", path, nil, nil)
	} else if rate == 0 {
		for i := range n {
			for t := range topics {
				b.pending = append(b.pending, pubJob{t, b.first + uint32(i)})
			}
		}
	}
	b.first += uint32(n)
	b.sent += n * topics
}

// pump gives pending events to free publishing connections.
func (b *bench) pump() {
	for _, p := range b.pubs {
		if len(b.pending) == 0 {
			return
		}
		if p.busy {
			continue
		}
		b.post(p, b.pending[0])
		b.pending = b.pending[1:]
	}
}

func (b *bench) post(p *pubConn, j pubJob) {
	cfg := b.cfg
	topic := strconv.Itoa(j.topic)
	pl := string(payload(cfg.size, j.seq))
	js, _ := json.Marshal(pl)
	rep := strings.NewReplacer("{topic}", topic, "{payload}", pl, "{payload:url}", url.QueryEscape(pl), "{payload:json}", string(js))
	p.send(b.loader, cfg.pubMethod, strings.ReplaceAll(pathOf(cfg.pubURL), "{topic}", topic), cfg.pubHeaders, []byte(rep.Replace(cfg.pubBody)))
}

func (b *bench) publishing() bool {
	for _, p := range b.pubs {
		if p.busy {
			return true
		}
	}
	return len(b.pending) > 0
}

func (p *pubConn) send(l *loader, method, path string, headers []string, body []byte) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, l.cfg.addr)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if method != "GET" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	p.busy = true
	l.write(p.c, b.Bytes())
}

func (p *pubConn) feed(b []byte) {
	p.acc = append(p.acc, b...)
	head, body, ok := bytes.Cut(p.acc, []byte("\r\n\r\n"))
	if !ok {
		return
	}
	h := strings.ToLower(string(head))
	if _, v, ok := strings.Cut(h, "content-length:"); ok {
		v, _, _ = strings.Cut(v, "\r")
		n, _ := strconv.Atoi(strings.TrimSpace(v))
		if len(body) < n {
			return
		}
	} else if strings.Contains(h, "transfer-encoding: chunked") && !bytes.HasSuffix(body, []byte("0\r\n\r\n")) {
		return
	}
	if !strings.HasPrefix(h, "http/1.1 2") {
		p.bad++
		p.why = string(p.acc[:min(len(p.acc), 200)])
	}
	p.acc = p.acc[:0]
	p.busy = false
}
