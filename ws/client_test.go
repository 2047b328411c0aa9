package ws_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push/wire"
)

// Opcodes, and the bit that ends a message (RFC 6455 section 5.2).
const (
	opText, opBinary, opClose, opPing, opPong = 1, 2, 8, 9, 10

	fin = 0x80
)

// client is a WebSocket client that does no more than it is told, and may break
// every rule. It shares no code with the server.
type client struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

// frame is what the server sent.
type frame struct {
	op      byte
	payload []byte
}

const handshake = "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"

// dial connects; protocol "" asks for none. early goes out with the request.
func (s *server) dial(protocol, query string, early ...byte) *client {
	s.t.Helper()
	c := &client{Conn: s.connect(), t: s.t}
	c.br = bufio.NewReader(c.Conn)
	s.t.Cleanup(func() { _ = c.Close() })
	header := ""
	if protocol != "" {
		header = "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	c.write(append(fmt.Appendf(nil, handshake, query, header), early...))
	resp := c.response()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("handshake: %s", resp.Status)
	}
	if got, want := resp.Header.Get("Sec-Websocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want { // of section 1.3
		s.t.Fatalf("Sec-WebSocket-Accept: %q, want %q", got, want)
	}
	return c
}

// v1 connects with push.v1 and reads push.open.
func (s *server) v1(query string) *client {
	s.t.Helper()
	c := s.dial("push.v1", query)
	c.control(wire.Open)
	return c
}

func (c *client) response() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatal("response:", err)
	}
	return resp
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal("write:", err)
	}
}

// masked returns a frame as a client has to send it.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func (c *client) text(payload string)             { c.t.Helper(); c.write(masked(fin|opText, payload)) }
func (c *client) send(first byte, payload string) { c.t.Helper(); c.write(masked(first, payload)) }

// parse reads a frame by the rules for what a server sends: whole, not masked,
// no reserved bits, the shortest length, text in UTF-8.
func parse(r *bufio.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	op, n := head[0]&15, uint64(head[1])
	if head[0]&0xF0 != fin || n >= 0x80 {
		return frame{}, fmt.Errorf("a header %x", head)
	}
	if size := map[uint64]int{126: 2, 127: 8}[n]; size > 0 {
		var long [8]byte
		if _, err := io.ReadFull(r, long[8-size:]); err != nil {
			return frame{}, err
		}
		least := map[int]uint64{2: 126, 8: 1 << 16}[size]
		if n = binary.BigEndian.Uint64(long[:]); n < least || n > 1<<30 {
			return frame{}, fmt.Errorf("a length of %d in %d bytes", n, size)
		}
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return frame{}, err
	}
	switch {
	case op == opText && !utf8.Valid(payload):
		return frame{}, errors.New("text that is not UTF-8")
	case op >= opClose && n > 125:
		return frame{}, errors.New("a long control frame")
	case op != opText && op != opBinary && op != opClose && op != opPing && op != opPong:
		return frame{}, fmt.Errorf("opcode %d", op)
	}
	return frame{op, payload}, nil
}

func (c *client) next() frame {
	c.t.Helper()
	f, err := parse(c.br)
	if err != nil {
		c.t.Fatal("next frame:", err)
	}
	return f
}

// want reads a frame and fails if it is not this one.
func (c *client) want(op byte, payload string) {
	c.t.Helper()
	if f := c.next(); f.op != op || string(f.payload) != payload {
		c.t.Fatalf("frame %d %.200q, want %d %.200q", f.op, f.payload, op, payload)
	}
}

// envelope reads a text frame.
func (c *client) envelope() wire.Envelope {
	c.t.Helper()
	f := c.next()
	var e wire.Envelope
	if f.op != opText {
		c.t.Fatalf("frame %d %q, want an envelope", f.op, f.payload)
	}
	if err := json.Unmarshal(f.payload, &e); err != nil {
		c.t.Fatalf("envelope %q: %v", f.payload, err)
	}
	return e
}

func (c *client) control(name string) wire.Envelope {
	c.t.Helper()
	e := c.envelope()
	if e.Event != name {
		c.t.Fatalf("got %s %s, want %s", e.Event, e.Data, name)
	}
	return e
}

// event reads an event and fails if its data, as JSON, is not this.
func (c *client) event(data string) {
	c.t.Helper()
	if e := c.envelope(); string(e.Data) != data {
		c.t.Fatalf("got %s %s, want %s", e.Event, e.Data, data)
	}
}

// reply reads a push.reply and returns the status of its problem, if any.
func (c *client) reply(ref string) (data string, status int) {
	c.t.Helper()
	e := c.control(wire.Reply)
	if e.Ref != ref {
		c.t.Fatalf("reply to %q, want %q", e.Ref, ref)
	}
	var d struct {
		Problem struct {
			Title  string
			Status int
		}
	}
	_ = json.Unmarshal(e.Data, &d)
	if d.Problem.Status != 0 && d.Problem.Title == "" {
		c.t.Errorf("a problem without a title: %s", e.Data)
	}
	return string(e.Data), d.Problem.Status
}

// closed reads a close frame with this code, and then the end. Only pongs that
// were due before may stand in front of it.
func (c *client) closed(code int) (reason string) {
	c.t.Helper()
	f := c.next()
	for f.op == opPong {
		f = c.next()
	}
	if f.op != opClose || len(f.payload) < 2 || int(binary.BigEndian.Uint16(f.payload)) != code {
		c.t.Fatalf("frame %d %q, want a close with %d", f.op, f.payload, code)
	}
	if reason = string(f.payload[2:]); !utf8.ValidString(reason) {
		c.t.Errorf("reason %q", reason)
	}
	_, _ = c.Write(masked(fin|opClose, string(f.payload[:2])))
	if rest, err := io.ReadAll(c.br); len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("after the close frame: %q, %v", rest, err)
	}
	_ = c.Close()
	return reason
}

// told reads push.close and then the close frame with the same code.
func (c *client) told(code int) wire.CloseData {
	c.t.Helper()
	var d wire.CloseData
	if err := json.Unmarshal(c.control(wire.Close).Data, &d); err != nil || d.Code != code {
		c.t.Fatalf("push.close with %+v %v, want %d", d, err, code)
	}
	if reason := c.closed(code); reason != d.Reason {
		c.t.Errorf("reasons %q and %q", d.Reason, reason)
	}
	return d
}
