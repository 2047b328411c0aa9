package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"time"
)

// Event is an event as a client reads it.
type Event struct {
	ID    string        // the last event id of the stream, with which to resume; "" while it stated none
	Name  string        // the event type, "message" if the stream gave none
	Data  []byte        // lines joined by LF
	Retry time.Duration // the reconnection time the stream stated last; 0 if none
}

// ErrTooLong is returned by a Decoder for a stream with a line, or an event
// whose data is, above its limit.
var ErrTooLong = errors.New("sse: line or event above the limit")

// DefaultMaxSize is a Decoder's limit, in bytes, unless another is set.
const DefaultMaxSize = 1 << 20

// maxRetry is the longest reconnection time that fits a time.Duration, in ms.
const maxRetry = math.MaxInt64 / int64(time.Millisecond)

// Decoder reads text/event-stream by the WHATWG HTML standard, sections 9.2.5
// and 9.2.6: a byte order mark at the start is skipped, CR, LF and CRLF end
// lines, what is not UTF-8 becomes U+FFFD, an event without data is not
// returned but its id holds, and an event that the stream does not finish is
// dropped. Its memory is bounded by the limit.
type Decoder struct {
	r     io.Reader
	limit int
	err   error // of r or the limit; sticky

	buf    []byte
	off    int  // buf[off:end] was not used yet,
	end    int  // and
	seen   int  // buf[off:seen] has no line end
	skipLF bool // the last line ended with CR
	begun  bool // the first line was read

	data   []byte // every line with an LF behind it
	name   string
	known  string // the last name that was read, to be reused
	id     string // of the event being read
	lastID string // of the last event that was finished
	retry  time.Duration
}

// NewDecoder returns a decoder of r. maxSize bounds the length of a line and of
// an event's data, in bytes; 0 is DefaultMaxSize.
func NewDecoder(r io.Reader, maxSize int) *Decoder {
	if maxSize <= 0 {
		maxSize = DefaultMaxSize
	}
	return &Decoder{r: r, limit: maxSize}
}

// Reset starts on another stream, as a client does that reconnects: buffers,
// last event id and reconnection time stay.
func (d *Decoder) Reset(r io.Reader) {
	*d = Decoder{r: r, limit: d.limit, buf: d.buf, data: d.data[:0], known: d.known, id: d.lastID, lastID: d.lastID, retry: d.retry}
}

// LastEventID returns the id with which to resume: that of the last event that
// was finished, dispatched or not.
func (d *Decoder) LastEventID() string { return d.lastID }

// Retry returns the reconnection time that the stream stated last, 0 if none.
func (d *Decoder) Retry() time.Duration { return d.retry }

// Next returns the next event. Its Data is valid until the next call. At the
// end of the stream the error is io.EOF, else the reader's or ErrTooLong; from
// then on Next returns the same error.
func (d *Decoder) Next() (Event, error) {
	d.data, d.name = d.data[:0], ""
	for {
		line, err := d.line()
		if err != nil {
			return Event{}, err
		}
		if len(line) > 0 {
			if err := d.field(line); err != nil {
				return Event{}, err
			}
			continue
		}
		d.lastID = d.id
		if n := len(d.data); n > 0 {
			return Event{ID: d.lastID, Name: orMessage(d.name), Data: d.data[: n-1 : n-1], Retry: d.retry}, nil
		}
		d.name = ""
	}
}

func orMessage(name string) string {
	if name == "" {
		return "message"
	}
	return name
}

// field takes one line that is not empty.
func (d *Decoder) field(line []byte) error {
	name, value, colon := bytes.Cut(line, []byte{':'})
	if colon && len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if len(d.data)+len(value) > d.limit {
			return d.tooLong()
		}
		d.data = append(append(d.data, value...), '\n')
	case "event":
		d.known = reuse(d.known, value)
		d.name = d.known
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			d.id = reuse(d.id, value)
		}
	case "retry":
		if ms, ok := digits(value); ok {
			d.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return nil
}

// tooLong ends the stream.
func (d *Decoder) tooLong() error {
	d.err = ErrTooLong
	d.off, d.end, d.seen, d.skipLF = 0, 0, 0, false
	return d.err
}

// reuse returns b as a string; it is s if that is the same.
func reuse(s string, b []byte) string {
	if s == string(b) {
		return s
	}
	return string(b)
}

// digits returns the number that ASCII digits spell, at most maxRetry.
func digits(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), maxRetry)
	}
	return n, len(b) > 0
}
