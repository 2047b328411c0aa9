package wire

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
)

// TimeFormat is RFC 3339 in UTC with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// JSON is the encoding of events as one JSON envelope without line breaks.
var JSON = push.NewEncoding("envelope", AppendEvent)

// Envelope is a JSON envelope as a client reads it.
type Envelope struct {
	ID       string          `json:"id,omitempty"`
	Topic    string          `json:"topic,omitempty"`
	Event    string          `json:"event"`
	Type     string          `json:"type,omitempty"`
	Time     string          `json:"time,omitempty"`
	Encoding string          `json:"encoding,omitempty"` // "base64" or nothing
	Data     json.RawMessage `json:"data"`
	Ref      string          `json:"ref,omitempty"` // of push.reply
}

// EventName returns the name under which e goes to clients.
func EventName(e *push.Event) string {
	if e.Name == "" {
		return "message"
	}
	return e.Name
}

// AppendEvent appends e as an envelope. Data is JSON as it came if its type is
// JSON, with spaces for the line breaks between tokens; a string for text;
// base64 for anything else.
func AppendEvent(dst []byte, e *push.Event) []byte {
	dst = append(dst, `{"id":"`...)
	dst = e.ID.Append(dst)
	dst = append(dst, `","topic":`...)
	dst = AppendString(dst, e.Topic)
	dst = append(dst, `,"event":`...)
	dst = AppendString(dst, EventName(e))
	dst = append(dst, `,"type":`...)
	kind := e.Kind()
	dst = AppendString(dst, cmp.Or(e.ContentType, kind.MediaType()))
	dst = append(dst, `,"time":"`...)
	dst = appendTime(dst, e.Time)
	switch kind {
	case push.KindJSON:
		dst = append(dst, `","data":`...)
		at := len(dst)
		dst = append(dst, e.Data...)
		for i, c := range dst[at:] {
			if c == '\n' || c == '\r' {
				dst[at+i] = ' '
			}
		}
	case push.KindText:
		dst = append(dst, `","data":`...)
		dst = appendString(dst, e.Data)
	default:
		dst = append(dst, `","encoding":"base64","data":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendTime appends t in TimeFormat: package time is fast for RFC3339 only.
func appendTime(dst []byte, t time.Time) []byte {
	dst = t.UTC().AppendFormat(dst, time.RFC3339)
	ms := t.Nanosecond() / 1e6
	return append(dst[:len(dst)-len("Z")], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// AppendString appends s as a JSON string (RFC 8259 section 7). What is not
// UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

func appendString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		if i+8 <= len(s) {
			n := plain(uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
				uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56)
			if i += n; n == 8 {
				continue
			}
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = appendEscape(append(dst, s[from:i]...), c)
			from = i + 1
		}
		i++
	}
	return append(append(dst, s[from:]...), '"')
}

// plain returns how many of eight bytes come before the first that is '"',
// '\\', below ' ' or above 0x7f: subtracting sets the top bit of that.
func plain(b uint64) int {
	const each = 0x0101010101010101
	odd := (b | (b - each*' ') | ((b ^ each*'"') - each) | ((b ^ each*'\\') - each)) & (each * 0x80)
	return bits.TrailingZeros64(odd) / 8
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// ParseEvent reads an envelope of an event, the inverse of AppendEvent. It
// returns the name "message" as "".
func ParseEvent(b []byte) (push.Event, error) {
	var env Envelope
	if err := json.Unmarshal(b, &env); err != nil {
		return push.Event{}, fmt.Errorf("wire: %w", err)
	}
	return env.ToEvent()
}

// ToEvent returns the event in an envelope.
func (env *Envelope) ToEvent() (e push.Event, err error) {
	if e.ID, err = push.ParseID(env.ID); err != nil {
		return e, err
	}
	e.Topic, e.Name, e.ContentType = env.Topic, env.Event, env.Type
	if e.Name == "message" {
		e.Name = ""
	}
	if e.Time, err = time.Parse(TimeFormat, env.Time); err != nil {
		return e, fmt.Errorf("wire: %w", err)
	}
	if e.Kind() == push.KindJSON {
		e.Data = env.Data
		return e, nil
	}
	var s string
	if err := json.Unmarshal(env.Data, &s); err != nil {
		return e, fmt.Errorf("wire: data of type %s: %w", strconv.Quote(env.Type), err)
	}
	e.Data = []byte(s)
	if env.Encoding == "base64" {
		if e.Data, err = base64.StdEncoding.DecodeString(s); err != nil {
			return e, fmt.Errorf("wire: %w", err)
		}
	}
	return e, nil
}
