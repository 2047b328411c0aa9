package natsbroker

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dualpush-go/dualpush/push"
)

// The headers of a message that is an event. Values that may hold anything are
// escaped as in a URL. The payload is the event's data as it is.
const (
	headerCheck = "Push-Check" // of the event's ID
	headerName  = "Push-Name"
	headerType  = "Push-Type"
	headerKey   = "Push-Key"
	headerTime  = "Push-Time" // unless it is when the server stored the event
	headerMeta  = "Push-Meta"
)

// encode makes an event a message and returns its check. header is the message's
// until it was sent: a map an event would be the dearest part of publishing it.
//
// The check is random, so that an event that takes the sequence of one that was
// lost has another. That of an event with an idempotency key follows from the
// key: it is known also when the server has the event already, or had it.
func (b *Broker) encode(e *push.Event, header nats.Header) (*nats.Msg, uint32) {
	clear(header)
	m := &nats.Msg{Subject: b.subject(e.Topic), Data: e.Data, Header: header}
	check := rand.Uint32()
	if e.Idem != "" {
		id := e.Topic + "\t" + e.Idem
		m.Header.Set(nats.MsgIdHdr, url.QueryEscape(id))
		check = crc32.ChecksumIEEE([]byte(id))
	}
	check |= 1
	m.Header.Set(headerCheck, strconv.FormatUint(uint64(check), 16))
	setText(m.Header, headerName, e.Name)
	setText(m.Header, headerType, e.ContentType)
	setText(m.Header, headerKey, e.Key)
	if !e.Time.IsZero() {
		m.Header.Set(headerTime, e.Time.UTC().Format(time.RFC3339Nano))
	}
	if len(e.Meta) > 0 {
		values := url.Values{}
		for k, v := range e.Meta {
			values.Set(k, v)
		}
		m.Header.Set(headerMeta, values.Encode())
	}
	return m, check
}

// setText sets a header to a value that may hold anything.
func setText(h nats.Header, name, value string) {
	if value != "" {
		h.Set(name, url.QueryEscape(value))
	}
}

func text(h nats.Header, name string) string {
	v, _ := url.QueryUnescape(h.Get(name))
	return v
}

// stored is a message as the stream has it.
type stored struct {
	subject string
	seq     uint64
	time    time.Time
	header  nats.Header
	data    []byte
}

func (m *stored) check() uint32 {
	n, _ := strconv.ParseUint(m.header.Get(headerCheck), 16, 32)
	return uint32(n)
}

// id returns the position that a message is at.
func (m *stored) id(epoch uint64) push.ID {
	return push.ID{Epoch: epoch, Seq: m.seq, Check: m.check()}
}

// event returns the event that a message is. What somebody else wrote to the
// stream is one as well, as far as it goes.
func (b *Broker) event(m *stored, epoch uint64) (e push.Event, ok bool) {
	e.Topic, ok = b.topic(m.subject)
	if !ok {
		return e, false
	}
	e.ID, e.Data, e.Time = m.id(epoch), m.data, m.time
	e.Name, e.ContentType, e.Key = text(m.header, headerName), text(m.header, headerType), text(m.header, headerKey)
	if v := m.header.Get(headerTime); v != "" {
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			e.Time = t
		}
	}
	if v := m.header.Get(headerMeta); v != "" {
		values, _ := url.ParseQuery(v)
		e.Meta = make(map[string]string, len(values))
		for k := range values {
			e.Meta[k] = values.Get(k)
		}
	}
	return e, true
}

// size is what a message takes of the server's limit of a payload, which counts
// headers, too.
func size(m *nats.Msg) int64 {
	n := len("NATS/1.0\r\n\r\n") + len(m.Data)
	for name, values := range m.Header {
		for _, v := range values {
			n += len(name) + len(": \r\n") + len(v)
		}
	}
	return int64(n)
}

// fits returns an error for an event that is above the server's limit.
func (b *Broker) fits(e *push.Event, limit int64) error {
	texts := len(e.Topic) + len(e.Idem) + len(e.Name) + len(e.ContentType) + len(e.Key)
	for k, v := range e.Meta {
		texts += len(k) + len(v) + 2
	}
	const names, escaped = 256, 3 // of all headers; bytes that a byte may become
	if int64(len(e.Data)+names+escaped*texts) <= limit {
		return nil
	}
	m, _ := b.encode(e, nats.Header{})
	if n := size(m); n > limit {
		return fmt.Errorf("%w: event of %d bytes with its headers, the NATS server takes %d (its max_payload)", push.ErrTooLarge, n, limit)
	}
	return nil
}
