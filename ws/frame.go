package ws

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// The first bytes of frames: FIN and the opcode (RFC 6455 section 5.2).
const (
	finText   = 0x81
	finBinary = 0x82
	finClose  = 0x88
	finPing   = 0x89
	finPong   = 0x8A
)

// usualHeader is the length of most headers: of frames of 126 to 65,535 bytes
// that are not masked.
const usualHeader = 4

// appendFrame appends a complete frame, not masked as all of a server, whose
// payload is what payload appends.
func appendFrame(dst []byte, first byte, payload func([]byte) []byte) []byte {
	at := len(dst)
	dst = payload(append(dst, make([]byte, usualHeader)...))
	var room [10]byte
	header := appendHeader(room[:0], first, len(dst)-at-usualHeader)
	return slices.Replace(dst, at, at+usualHeader, header...)
}

func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
}

// The forms of events, shared by all connections.
var (
	envelopeFrames = push.NewEncoding("ws envelope", appendEnvelopeFrame)
	plainFrames    = push.NewEncoding("ws plain", appendPlainFrame)
)

func appendEnvelopeFrame(dst []byte, e *push.Event) []byte {
	return appendFrame(dst, finText, func(dst []byte) []byte { return wire.AppendEvent(dst, e) })
}

// appendPlainFrame sends text that is none, which a broker may hold that
// nobody has checked, as binary: a client had to close otherwise.
func appendPlainFrame(dst []byte, e *push.Event) []byte {
	first := byte(finText)
	if e.Kind() == push.KindBinary || !utf8.Valid(e.Data) {
		first = finBinary
	}
	dst = appendHeader(dst, first, len(e.Data))
	return append(dst, e.Data...)
}

// emptyClose is a close frame without a code, which answers one such.
var emptyClose = []byte{finClose, 0}

// closeFrame returns a close frame (section 5.5.1): its payload is at most 125
// bytes, and the reason UTF-8. A code that must not be sent (section 7.4.1) is
// sent as closeInternal.
func closeFrame(code int, reason string) []byte {
	if !sendable(code) {
		code = closeInternal
	}
	reason = cut(strings.ToValidUTF8(reason, "\uFFFD"), 123)
	b := binary.BigEndian.AppendUint16([]byte{finClose, byte(2 + len(reason))}, uint16(code))
	return append(b, reason...)
}

func sendable(code int) bool {
	return 1000 <= code && code <= 1014 && (code < 1004 || code > 1006) || 3000 <= code && code <= 4999
}

// cut returns the longest start of s that has at most n bytes and ends with a
// whole character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// envelopes is the form of push.v1.
type envelopes struct{}

func (envelopes) Encoding() *push.Encoding { return envelopeFrames }

func (envelopes) AppendControl(dst []byte, id push.ID, name string, data any) ([]byte, error) {
	return appendFrame(dst, finText, func(dst []byte) []byte { return wire.AppendControl(dst, id, name, data) }), nil
}

// plain is the form without envelopes. It has no way to tell of a hole, so a
// hole ends it.
type plain struct{}

func (plain) Encoding() *push.Encoding { return plainFrames }

func (plain) AppendControl(dst []byte, _ push.ID, name string, _ any) ([]byte, error) {
	switch name {
	case wire.Gap:
		return dst, &push.CloseError{Code: push.CloseOverload, Reason: "events were missed; start anew", Retry: time.Second}
	case wire.Heartbeat:
		return append(dst, finPing, 0), nil
	}
	return dst, nil
}

var (
	_ wire.Framer = envelopes{}
	_ wire.Framer = plain{}
)

// The forms as streams that the hub writes have them.
var envelopeStream, plainStream = &wire.Frames{Framer: envelopes{}}, &wire.Frames{Framer: plain{}}

func (s *session) frames() *wire.Frames {
	if s.plain {
		return plainStream
	}
	return envelopeStream
}
