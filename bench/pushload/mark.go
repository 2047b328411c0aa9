package main

import (
	"bytes"
	"fmt"
	"time"
)

// Every payload carries  ~PL~<19 digits: send time, ns>~<10 digits: sequence>~ .
// No character of it is changed by JSON strings, URLs or HTML.
const (
	markHead = "~PL~"
	markLen  = 4 + 19 + 1 + 10 + 1
)

var markHeadB = []byte(markHead)

// payload makes a JSON payload of about size bytes.
func payload(size int, seq uint32) []byte {
	b := fmt.Appendf(nil, `{"m":"~PL~%019d~%010d~","p":"`, time.Now().UnixNano(), seq)
	for len(b) < size-2 {
		b = append(b, 'x')
	}
	return append(b, '"', '}')
}

// marker finds markers in a stream, wherever reads cut it, and checks their
// sequence.
type marker struct {
	carry  [markLen]byte // the beginning of a marker
	carryN int

	next  uint32      // sequence number
	holes [][2]uint32 // [from,to) not seen yet
}

// data takes decoded payload bytes and looks for markers.
func (l *loader) data(c *conn, b []byte) {
	if c.st == stReady {
		if b = l.ready(c, b); b == nil {
			return
		}
	}
	if l.keepTail {
		c.tail = append(c.tail, b...)
		if len(c.tail) > 16<<10 {
			c.tail = append(c.tail[:0], c.tail[len(c.tail)-8<<10:]...)
		}
	}
	l.find(&c.mark, b)
}

// ready collects text until the server says that the subscription stands, and
// returns all of it then.
func (l *loader) ready(c *conn, b []byte) []byte {
	c.acc = append(c.acc, b...)
	if !bytes.Contains(c.acc, []byte(l.cfg.ready)) {
		return nil
	}
	if l.epochRe != nil {
		if m := l.epochRe.FindSubmatch(c.acc); m != nil {
			c.epoch = string(m[1])
		}
	}
	l.live(c)
	b, c.acc = c.acc, nil
	return b
}

// find counts each marker that is complete.
func (l *loader) find(k *marker, b []byte) {
	if k.carryN > 0 { // a marker may begin in the bytes carried over
		var j [2 * markLen]byte
		n := copy(j[:], k.carry[:k.carryN])
		m := n + copy(j[n:n+markLen], b)
		i := bytes.Index(j[:m], markHeadB)
		switch {
		case i >= 0 && i < n && m-i >= markLen:
			l.count(k, j[i:i+markLen])
			b = b[i+markLen-n:]
			k.carryN = 0
		case m < n+markLen && len(b) < markLen: // still too short
			if i < 0 {
				i = m - min(m, 3)
			}
			k.carryN = copy(k.carry[:], j[i:m])
			return
		default:
			k.carryN = 0
		}
	}
	for {
		i := bytes.Index(b, markHeadB)
		if i < 0 {
			// keep a possible beginning of the head
			n := min(len(b), 3)
			if t := bytes.LastIndexByte(b[len(b)-n:], '~'); t >= 0 {
				k.carryN = copy(k.carry[:], b[len(b)-n+t:])
			}
			return
		}
		if len(b)-i < markLen {
			k.carryN = copy(k.carry[:], b[i:])
			return
		}
		l.count(k, b[i:i+markLen])
		b = b[i+markLen:]
	}
}

func digits(b []byte) (v int64) {
	for _, d := range b {
		v = v*10 + int64(d-'0')
	}
	return v
}

// count counts one delivery.
func (l *loader) count(k *marker, m []byte) {
	switch k.see(uint32(digits(m[24:34]))) {
	case seenTwice:
		l.dups++
		return
	case seenLate:
		l.ooo++
	}
	l.deliveries++
	if l.record {
		l.lat.add(l.now - digits(m[4:23]))
		if g := l.now - l.lastRecv; g > l.maxGap && l.lastRecv > 0 {
			l.maxGap = g
		}
	}
	l.lastRecv = l.now
}

type sight uint8

const (
	seenInOrder sight = iota
	seenLate
	seenTwice
)

// see takes the next sequence number that came.
func (k *marker) see(seq uint32) sight {
	how := seenInOrder
	switch {
	case seq == k.next:
		k.next++
	case seq > k.next:
		k.holes = append(k.holes, [2]uint32{k.next, seq})
		k.next = seq + 1
	case !k.fill(seq):
		return seenTwice
	default:
		how = seenLate
	}
	return how
}

// fill takes seq out of the holes; false means that it was seen before.
func (k *marker) fill(seq uint32) bool {
	for i, h := range k.holes {
		if seq < h[0] || seq >= h[1] {
			continue
		}
		k.holes = append(k.holes[:i], k.holes[i+1:]...)
		if h[0] < seq {
			k.holes = append(k.holes, [2]uint32{h[0], seq})
		}
		if seq+1 < h[1] {
			k.holes = append(k.holes, [2]uint32{seq + 1, h[1]})
		}
		return true
	}
	return false
}

// forget starts anew at seq: what is missing before it is not counted.
func (k *marker) forget(seq uint32) { k.next, k.holes = seq, nil }

// lost is what is missing up to (not including) end.
func (k *marker) lost(end uint32) (n uint64) {
	for _, h := range k.holes {
		n += uint64(h[1] - h[0])
	}
	if end > k.next {
		n += uint64(end - k.next)
	}
	return n
}
