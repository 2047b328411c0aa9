package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"
	"testing"
)

// chunked is a body in chunks whose borders lie within the payload.
func chunked(b []byte, size int) []byte {
	var out bytes.Buffer
	for part := range slices.Chunk(b, size) {
		fmt.Fprintf(&out, "%X\r\n%s\r\n", len(part), part)
	}
	return out.Bytes()
}

// frame is an unmasked frame with the shortest length that fits.
func frame(op byte, p []byte) []byte {
	b := []byte{0x80 | op}
	switch {
	case len(p) < 126:
		b = append(b, byte(len(p)))
	case len(p) < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(len(p)))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(len(p)))
	}
	return append(b, p...)
}

func TestChunksCutAnywhere(t *testing.T) {
	for _, chunk := range []int{7, 100, 1000} {
		text := chunked(stream(0, 1, 2), chunk)
		for size := 1; size <= len(text); size++ {
			l := &loader{cfg: &config{mode: "sse"}}
			c := &conn{st: stLive, body: body{chunked: true}}
			for part := range slices.Chunk(text, size) {
				l.feed(c, part)
			}
			if l.deliveries != 3 {
				t.Fatalf("chunks of %d in reads of %d: %d of 3", chunk, size, l.deliveries)
			}
		}
	}
}

func TestEndOfAChunkedStreamIsADeath(t *testing.T) {
	l := &loader{cfg: &config{mode: "sse"}}
	c := &conn{st: stLive, body: body{chunked: true}}
	l.feed(c, append(chunked(stream(0), 50), "0\r\n\r\n"...))
	if l.died != 1 || l.deliveries != 1 {
		t.Errorf("%d died, %d deliveries; want 1, 1", l.died, l.deliveries)
	}
}

func TestFramesCutAnywhere(t *testing.T) {
	var text []byte
	for seq, size := range []int{70000, 60, 125, 126, 300} {
		text = append(text, frame(1, payload(size, uint32(seq)))...)
		text = append(text, frame(1, nil)...)
		text = append(text, frame(wsPong, []byte("x"))...)
	}
	for _, size := range []int{1, 2, 3, 5, 14, 64, 100, 127, 4096, len(text)} {
		l := &loader{cfg: &config{mode: "ws"}}
		c := &conn{st: stLive}
		for part := range slices.Chunk(text, size) {
			l.feed(c, part)
		}
		if l.deliveries != 5 {
			t.Errorf("reads of %d: %d of 5", size, l.deliveries)
		}
	}
}

// pair returns a conn whose peer is the returned descriptor.
func pair(t *testing.T) (*conn, int) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fds[0]); syscall.Close(fds[1]) })
	return &conn{fd: fds[0], st: stLive}, fds[1]
}

func TestPingsAreAnswered(t *testing.T) {
	for _, test := range []struct {
		name, got, want string
		op              byte
	}{
		{"ping", "hello", "\x8a\x85\x00\x00\x00\x00hello", wsPing},
		{"text ping", "2", "\x81\x81\x00\x00\x00\x003", 1},
	} {
		c, peer := pair(t)
		l := &loader{cfg: &config{mode: "ws", replyTo: "2", reply: "3"}}
		l.feed(c, frame(test.op, []byte(test.got)))
		b := make([]byte, 64)
		n, err := syscall.Read(peer, b)
		if err != nil || string(b[:n]) != test.want {
			t.Errorf("%s: answered %q (%v), want %q", test.name, b[:n], err, test.want)
		}
	}
}

func TestCloseFrameIsADeath(t *testing.T) {
	l := &loader{cfg: &config{mode: "ws"}, fds: make([]*conn, 1024)}
	c, _ := pair(t)
	c.fd = 0 // the test closes it
	l.feed(c, append(frame(wsClose, []byte("\x03\xf5slow")), frame(1, payload(60, 0))...))
	if l.died != 1 || l.deliveries != 0 {
		t.Errorf("%d died, %d deliveries after the close frame; want 1, 0", l.died, l.deliveries)
	}
}
