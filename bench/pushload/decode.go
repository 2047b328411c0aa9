package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// body decodes a response's body: chunks, or a length (polls), or neither.
type body struct {
	chunked bool
	poll    bool
	state   chunkState
	left    int64 // bytes left in the chunk or the body
}

type chunkState uint8

const (
	inSize chunkState = iota
	inChunk
	afterChunk
	atEnd
)

func (l *loader) feedLength(c *conn, b []byte) {
	for len(b) > 0 && c.st == stLive {
		n := min(int64(len(b)), c.body.left)
		l.data(c, b[:n])
		b = b[n:]
		if c.body.left -= n; c.body.left == 0 {
			l.pollAgain(c)
		}
	}
}

func (l *loader) feedChunked(c *conn, b []byte) {
	d := &c.body
	for len(b) > 0 {
		switch d.state {
		case inSize:
			b = d.size(b)
		case inChunk:
			n := min(int64(len(b)), d.left)
			l.data(c, b[:n])
			b = b[n:]
			if d.left -= n; d.left == 0 {
				d.state = afterChunk
			}
		case afterChunk, atEnd:
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				return
			}
			b = b[i+1:]
			switch {
			case d.state == afterChunk:
				d.state = inSize
			case d.poll:
				l.pollAgain(c)
				return
			default:
				l.fail(c, "stream ended")
				return
			}
		}
	}
}

// size reads a chunk's size line, or the part of it that is there.
func (d *body) size(b []byte) []byte {
	line, rest, whole := bytes.Cut(b, []byte("\n"))
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			d.left = d.left<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			d.left = d.left<<4 | int64(c-'a'+10)
		case c >= 'A' && c <= 'F':
			d.left = d.left<<4 | int64(c-'A'+10)
		}
	}
	if whole {
		if d.state = inChunk; d.left == 0 {
			d.state = atEnd
		}
	}
	return rest
}

// wsDecoder decodes server frames (RFC 6455 section 5.2).
type wsDecoder struct {
	inPayload bool
	head      [14]byte
	headN     int
	op        byte
	left      int64
	small     []byte // payload of a control or small frame
	collect   bool
}

const (
	wsClose = 8
	wsPing  = 9
	wsPong  = 10
)

// readHead takes a frame's head from b and returns the rest; ok is false if it
// is not complete yet.
func (d *wsDecoder) readHead(b []byte) (rest []byte, ok bool) {
	for {
		need := 2
		if d.headN >= 2 {
			switch d.head[1] & 0x7f {
			case 126:
				need = 4
			case 127:
				need = 10
			}
			if d.headN >= need {
				break
			}
		}
		if len(b) == 0 {
			return nil, false
		}
		n := copy(d.head[d.headN:need], b)
		d.headN += n
		b = b[n:]
	}
	d.op = d.head[0] & 0xf
	switch v := d.head[1] & 0x7f; v {
	case 126:
		d.left = int64(binary.BigEndian.Uint16(d.head[2:]))
	case 127:
		d.left = int64(binary.BigEndian.Uint64(d.head[2:]))
	default:
		d.left = int64(v)
	}
	d.small = d.small[:0]
	d.inPayload, d.headN = true, 0
	return b, true
}

func (l *loader) feedWS(c *conn, b []byte) {
	d := &c.ws
	for len(b) > 0 || d.inPayload && d.left == 0 {
		if !d.inPayload {
			var ok bool
			if b, ok = d.readHead(b); !ok {
				return
			}
			d.collect = d.op >= wsClose || l.cfg.replyTo != "" && d.left == int64(len(l.cfg.replyTo))
		}
		n := min(int64(len(b)), d.left)
		if d.collect {
			d.small = append(d.small, b[:n]...)
		} else if n > 0 {
			l.data(c, b[:n])
		}
		b = b[n:]
		if d.left -= n; d.left > 0 {
			return
		}
		d.inPayload = false
		if d.collect {
			if l.small(c); c.st == stDead {
				return
			}
		}
	}
}

// small handles a frame that was collected.
func (l *loader) small(c *conn) {
	d := &c.ws
	switch {
	case d.op == wsPing:
		l.sendWS(c, wsPong, d.small)
	case d.op == wsClose:
		l.fail(c, fmt.Sprintf("close frame %q", d.small))
	case d.op < wsClose && string(d.small) == l.cfg.replyTo:
		l.sendWS(c, 1, []byte(l.cfg.reply))
	case d.op < wsClose:
		l.data(c, d.small)
	}
}

// sendWS sends a masked frame (mask 0) of at most 64 KB.
func (l *loader) sendWS(c *conn, op byte, p []byte) {
	b := []byte{0x80 | op}
	if len(p) < 126 {
		b = append(b, 0x80|byte(len(p)))
	} else {
		b = append(b, 0x80|126, byte(len(p)>>8), byte(len(p)))
	}
	b = append(b, 0, 0, 0, 0)
	l.write(c, append(b, p...))
}
