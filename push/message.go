package push

import (
	"sync/atomic"
	"time"
)

// Message is an event in a log together with its wire forms, which are made
// once and shared by all readers. It is immutable.
type Message struct {
	Event
	frames    atomic.Pointer[frame]
	added     time.Duration // when, by log.now
	size      int           // what it counts toward retention, bytes
	ephemeral bool          // never in history
	gone      bool          // removed from its topic; guarded by log.mu
}

type frame struct {
	enc  *Encoding
	data []byte
	next *frame
}

// Encoding is one way to write events to a wire, e.g. as SSE blocks. Encodings
// are package variables: they compare by identity.
type Encoding struct {
	name   string
	encode func(dst []byte, e *Event) []byte
}

// NewEncoding returns an encoding. encode appends the wire form of e to dst;
// it must depend on e alone, since its result is shared by all readers.
func NewEncoding(name string, encode func(dst []byte, e *Event) []byte) *Encoding {
	return &Encoding{name, encode}
}

// String returns the encoding's name.
func (enc *Encoding) String() string { return enc.name }

// NewMessage returns a message for an event that came from elsewhere than a
// subscription, e.g. from History.
func NewMessage(e Event) *Message { return &Message{Event: e, size: eventSize(&e)} }

// Encoded returns the wire form of m, which is made at the first call. The
// bytes are shared and must not be changed. It is safe for concurrent use.
func (m *Message) Encoded(enc *Encoding) []byte {
	first := m.frames.Load()
	for f := first; f != nil; f = f.next {
		if f.enc == enc {
			return f.data
		}
	}
	made := &frame{enc: enc, data: enc.encode(nil, &m.Event), next: first}
	for !m.frames.CompareAndSwap(made.next, made) {
		first = m.frames.Load()
		for f := first; f != nil; f = f.next {
			if f.enc == enc {
				return f.data // somebody else was faster
			}
		}
		made.next = first
	}
	return made.data
}

// eventOverhead is about what a message costs beyond its strings and Data.
const eventOverhead = 256

func eventSize(e *Event) int {
	n := eventOverhead + len(e.Topic) + len(e.Name) + len(e.ContentType) + len(e.Key) + len(e.Idem) + len(e.Data)
	for k, v := range e.Meta {
		n += len(k) + len(v) + 32
	}
	return n
}
