package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	dst = AppendString(dst, e.MediaType())
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, TimeFormat)
	switch e.Kind() {
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
		dst = AppendString(dst, string(e.Data))
	default:
		dst = append(dst, `","encoding":"base64","data":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// AppendString appends s as a JSON string (RFC 8259 section 7). What is not
// UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
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
