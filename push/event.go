package push

import (
	"encoding/json"
	"mime"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is one entry of the log.
//
// A publisher fills Topic and Data and whatever else it needs; ID is set by
// the broker. An Event that came from a broker, hub or subscription is
// immutable and shared: neither Data nor Meta may be changed.
type Event struct {
	ID          ID
	Topic       string            // required; see CheckTopic
	Name        string            // the event's name; "" is "message"
	ContentType string            // a media type; "" is text/plain if Data is UTF-8, else application/octet-stream
	Key         string            // conflation key (policy Latest)
	Idem        string            // idempotency key: the same topic and key within IdemWindow is the same event
	Data        []byte            // the payload
	Time        time.Time         // zero: when it was published
	Meta        map[string]string // for the application; not sent to clients
}

// Limits of an event's fields, in bytes, and the time for which a broker
// remembers idempotency keys.
const (
	MaxNameLen        = 128
	MaxKeyLen         = 200
	MaxContentTypeLen = 200
	IdemWindow        = 5 * time.Minute
)

// JSON returns an event whose Data is v as JSON.
func JSON(topic, name string, v any) (Event, error) {
	data, err := json.Marshal(v)
	return Event{Topic: topic, Name: name, ContentType: "application/json", Data: data}, err
}

// Check reports why e cannot be published, or nil: a bad topic, a name or key
// with CR, LF or NUL or above its limit, a reserved name ("open", "error",
// "push.…"), or Data that is not valid in its declared text or JSON type.
func (e *Event) Check() error {
	if err := CheckTopic(e.Topic); err != nil {
		return err
	}
	if e.Name == "open" || e.Name == "error" || strings.HasPrefix(e.Name, "push.") {
		return unprocessablef("event name %q is reserved (open, error and push.* are)", e.Name)
	}
	return e.checkFields()
}

// checkReserved is Check for what Announce publishes.
func (e *Event) checkReserved() error {
	if err := checkSegments("topic", e.Topic, false); err != nil {
		return err
	}
	if e.Topic[0] != '$' {
		return invalidf("topic %q: only a reserved one, with a leading $, can be announced", e.Topic)
	}
	return e.checkFields()
}

// checkFields checks all but the topic.
func (e *Event) checkFields() error {
	if err := checkLine("event name", e.Name, MaxNameLen); err != nil {
		return err
	}
	if err := checkLine("key", e.Key, MaxKeyLen); err != nil {
		return err
	}
	if err := checkLine("idempotency key", e.Idem, MaxKeyLen); err != nil {
		return err
	}
	return e.checkData()
}

func checkLine(what, s string, limit int) error {
	if len(s) > limit {
		return invalidf("%s of %d bytes: at most %d are allowed", what, len(s), limit)
	}
	for i := range len(s) {
		if c := s[i]; c == '\r' || c == '\n' || c == 0 {
			return invalidf("%s %q contains CR, LF or NUL", what, s)
		}
	}
	if !utf8.ValidString(s) {
		return invalidf("%s %q is not valid UTF-8", what, s)
	}
	return nil
}

func (e *Event) checkData() error {
	if e.ContentType == "" {
		return nil
	}
	if err := checkLine("content type", e.ContentType, MaxContentTypeLen); err != nil {
		return err
	}
	switch kindOf(e.ContentType) {
	case KindJSON:
		if !json.Valid(e.Data) || !utf8.Valid(e.Data) {
			return unprocessablef("data is not valid JSON, but its content type is %q", e.ContentType)
		}
	case KindText:
		if !utf8.Valid(e.Data) {
			return unprocessablef("data is not valid UTF-8, but its content type is %q", e.ContentType)
		}
	case kindBad:
		return invalidf("content type %q is no media type", e.ContentType)
	}
	return nil
}

// Kind says how a payload travels: JSON and text as they are, binary in base64
// where the transport is text.
type Kind uint8

// The kinds of payload.
const (
	KindBinary Kind = iota
	KindText
	KindJSON
	kindBad
)

// Kind returns the kind of e's payload, by its content type.
func (e *Event) Kind() Kind {
	if e.ContentType == "" {
		if utf8.Valid(e.Data) {
			return KindText
		}
		return KindBinary
	}
	return kindOf(e.ContentType)
}

// MediaType returns ContentType or, where that is empty, what it stands for.
func (e *Event) MediaType() string {
	if e.ContentType != "" {
		return e.ContentType
	}
	return e.Kind().MediaType()
}

// MediaType returns what an empty ContentType stands for where the payload is of
// this kind, KindText or KindBinary.
func (k Kind) MediaType() string {
	if k == KindText {
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

func kindOf(contentType string) Kind {
	switch contentType { // the usual ones, without parsing
	case "application/json":
		return KindJSON
	case "text/plain; charset=utf-8", "text/plain", "text/html":
		return KindText
	case "application/octet-stream":
		return KindBinary
	}
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.Contains(t, "/") {
		return kindBad
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return KindBinary
	}
	switch {
	case t == "application/json" || strings.HasSuffix(t, "+json"):
		return KindJSON
	case strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+xml") || t == "application/xml" ||
		t == "application/javascript" || t == "application/x-www-form-urlencoded":
		return KindText
	}
	return KindBinary
}
