package push

import (
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Message is an event in a log together with its wire forms, which are made
// once and shared by all readers. It is immutable.
type Message struct {
	Event
	frames    atomic.Pointer[frame]
	added     time.Duration // when, by log.now
	feed      *topicFeed    // of its topic; nil outside of a log
	size      uint32        // what it counts toward retention, bytes
	ephemeral bool          // never in history
	gone      bool          // removed from its topic; guarded by log.mu
}

// asked stands in frames for a first call of AppendTo, which keeps nothing.
var asked frame

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

// newMessage copies an event, so that its publisher may reuse it, together with
// its data where that is small: then both are one allocation.
func newMessage(e *Event, now time.Time, added time.Duration) *Message {
	var m *Message
	switch n := len(e.Data); {
	case n <= 64:
		b := &struct {
			Message
			data [64]byte
		}{}
		m, b.Data = &b.Message, b.data[:0]
	case n <= 128:
		b := &struct {
			Message
			data [128]byte
		}{}
		m, b.Data = &b.Message, b.data[:0]
	case n <= 256:
		b := &struct {
			Message
			data [256]byte
		}{}
		m, b.Data = &b.Message, b.data[:0]
	default:
		m = &Message{}
	}
	data := m.Data
	m.Event, m.size, m.added = *e, counted(e), added
	m.Data = slices.Clip(append(data, e.Data...))
	if e.Meta != nil {
		m.Meta = maps.Clone(e.Meta)
	}
	if m.Time.IsZero() {
		m.Time = now
	}
	return m
}

// NewMessage returns a message for an event that came from elsewhere than a
// subscription, e.g. from History.
func NewMessage(e Event) *Message { return &Message{Event: e, size: counted(&e)} }

// AppendTo appends the wire form of m to dst. The form is kept from the second
// call on, for those that follow. It is safe for concurrent use.
func (m *Message) AppendTo(dst []byte, enc *Encoding) []byte {
	if m.frames.CompareAndSwap(nil, &asked) {
		return enc.encode(dst, &m.Event)
	}
	return append(dst, m.Encoded(enc)...)
}

// Encoded returns the wire form of m and keeps it. The bytes are shared and
// must not be changed. It is safe for concurrent use.
func (m *Message) Encoded(enc *Encoding) []byte {
	if f := m.frame(enc); f != nil {
		return f.data
	}
	made := &frame{enc: enc, data: enc.encode(nil, &m.Event)}
	for {
		made.next = m.frames.Load()
		if m.frames.CompareAndSwap(made.next, made) {
			return made.data
		}
		if f := m.frame(enc); f != nil {
			return f.data // somebody else was faster
		}
	}
}

func (m *Message) frame(enc *Encoding) *frame {
	f := m.frames.Load()
	for f != nil && f.enc != enc {
		f = f.next
	}
	return f
}

// counted is eventSize as a message keeps it.
func counted(e *Event) uint32 { return uint32(min(uint64(eventSize(e)), math.MaxUint32)) }

// eventOverhead is about what a message costs beyond its strings and Data.
const eventOverhead = 256

func eventSize(e *Event) int {
	n := eventOverhead + len(e.Topic) + len(e.Name) + len(e.ContentType) + len(e.Key) + len(e.Idem) + len(e.Data)
	if e.Meta != nil { // ranging over none takes its time, too
		for k, v := range e.Meta {
			n += len(k) + len(v) + 32
		}
	}
	return n
}
