package sse

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// The encodings of events; see the package's documentation for what they hold.
var (
	Raw      = push.NewEncoding("sse", appendRaw)
	Envelope = push.NewEncoding("sse-envelope", appendEnvelope)
	NDJSON   = push.NewEncoding("ndjson", appendLine)
)

// frameOverhead is about what a frame needs besides name and payload.
const frameOverhead = 72

func appendRaw(dst []byte, e *push.Event) []byte {
	if e.Kind() == push.KindBinary {
		dst = slices.Grow(dst, frameOverhead+len(e.Name)+base64.StdEncoding.EncodedLen(len(e.Data)))
		dst = append(appendHead(dst, e.ID, e.Name), "data: "...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		return append(dst, "\n\n"...)
	}
	lines := bytes.Count(e.Data, []byte{'\n'}) + bytes.Count(e.Data, []byte{'\r'})
	dst = slices.Grow(dst, frameOverhead+len(e.Name)+len(e.Data)+lines*len("data: "))
	return append(appendData(appendHead(dst, e.ID, e.Name), e.Data), '\n')
}

func appendEnvelope(dst []byte, e *push.Event) []byte {
	dst = slices.Grow(dst, 3*frameOverhead+len(e.Topic)+2*len(e.Name)+len(e.Data)+len(e.Data)/8)
	dst = append(appendHead(dst, e.ID, e.Name), "data: "...)
	return append(wire.AppendEvent(dst, e), "\n\n"...)
}

func appendLine(dst []byte, e *push.Event) []byte {
	dst = slices.Grow(dst, 2*frameOverhead+len(e.Topic)+len(e.Name)+len(e.Data)+len(e.Data)/8)
	return append(wire.AppendEvent(dst, e), '\n')
}

// appendHead appends the lines before data. A browser takes an event without a
// type for "message".
func appendHead(dst []byte, id push.ID, name string) []byte {
	dst = append(dst, "id: "...)
	dst = append(id.Append(dst), '\n')
	if name == "" || name == "message" {
		return dst
	}
	dst = append(dst, "event: "...)
	return append(append(dst, name...), '\n')
}

// appendData appends text as data lines, at least one: without any, a browser
// would not dispatch the event.
func appendData(dst, text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return appendDataLine(dst, text)
	}
	from := 0
	for i, c := range text {
		switch {
		case c == '\n' && i > 0 && text[i-1] == '\r': // the second half of CRLF
			from = i + 1
		case c == '\n' || c == '\r':
			dst = appendDataLine(dst, text[from:i])
			from = i + 1
		}
	}
	return appendDataLine(dst, text[from:])
}

func appendDataLine(dst, line []byte) []byte {
	if len(line) == 0 {
		return append(dst, "data:\n"...)
	}
	dst = append(dst, "data: "...)
	return append(append(dst, line...), '\n')
}
