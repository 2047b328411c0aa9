package sse

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// Format is a form in which a stream is served. It implements wire.Framer.
type Format uint8

// The formats.
const (
	FormatRaw      Format = iota // text/event-stream; data is the payload
	FormatEnvelope               // text/event-stream; data is the JSON envelope
	FormatNDJSON                 // application/x-ndjson; one envelope a line
)

var _ wire.Framer = FormatRaw

// framed are the formats as streams that the hub writes have them.
var framed = [...]*wire.Frames{FormatRaw: {Framer: FormatRaw}, FormatEnvelope: {Framer: FormatEnvelope}, FormatNDJSON: {Framer: FormatNDJSON}}

func (f Format) frames() *wire.Frames {
	if int(f) < len(framed) {
		return framed[f]
	}
	return &wire.Frames{Framer: f}
}

// String returns the format's name.
func (f Format) String() string {
	switch f {
	case FormatRaw:
		return "raw"
	case FormatEnvelope:
		return "envelope"
	case FormatNDJSON:
		return "ndjson"
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// ContentType returns the media type of a stream in the format.
func (f Format) ContentType() string {
	if f == FormatNDJSON {
		return "application/x-ndjson"
	}
	return "text/event-stream"
}

// Encoding implements wire.Framer.
func (f Format) Encoding() *push.Encoding {
	switch f {
	case FormatEnvelope:
		return Envelope
	case FormatNDJSON:
		return NDJSON
	}
	return Raw
}

// AppendControl implements wire.Framer. Its error is always nil.
func (f Format) AppendControl(dst []byte, id push.ID, name string, data any) ([]byte, error) {
	if f == FormatNDJSON {
		return append(wire.AppendControl(dst, id, name, data), '\n'), nil
	}
	if end, ok := data.(wire.CloseData); ok && name == wire.Close && end.Retry > 0 {
		dst = appendRetry(dst, time.Duration(end.Retry)*time.Millisecond)
	}
	dst = appendHead(dst, id, name)
	switch {
	case f == FormatEnvelope:
		dst = wire.AppendControl(append(dst, "data: "...), id, name, data)
	case name == wire.Heartbeat:
		dst = append(dst, "data:"...)
	default:
		dst = wire.AppendData(append(dst, "data: "...), data)
	}
	return append(dst, "\n\n"...), nil
}

// appendRetry appends the line that sets a client's reconnection time.
func appendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	return append(strconv.AppendInt(dst, d.Milliseconds(), 10), '\n')
}
