package ws

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dualpush-go/dualpush/push"
)

// Actions carries out what the client of one connection asks for.
type Actions interface {
	// Do carries out an action and returns the data of the reply, which must
	// encode to a JSON object; nil is {}. Authorization and all that an
	// action means are Do's: ws has only checked its form.
	//
	// A *Problem is the client's to read. A *push.CloseError ends the
	// connection. Any other error, and a panic, is logged and the client is
	// told nothing of it: an error is a problem with status 500, a panic ends
	// the connection. ctx ends with the connection. Do is not called
	// concurrently for one connection, and Serve does not return before it.
	Do(ctx context.Context, a *Action) (data any, err error)
}

// Kind is what an action does.
type Kind string

// The kinds of action.
const (
	Subscribe   Kind = "subscribe"
	Unsubscribe Kind = "unsubscribe"
	Publish     Kind = "publish"
	Credentials Kind = "credentials"
)

// Action is what a client asks for, well formed but not authorized.
type Action struct {
	Kind   Kind
	Ref    string     // comes back in the reply; "" is none
	Topics []string   // of Subscribe and Unsubscribe: 1 to push.MaxSubscriptionTopics, not checked further
	Last   int        // of Subscribe: how many of the newest events the reply has, at most MaxLast
	Event  push.Event // of Publish: Topic ("" is the topic of the URL), Name, ContentType, Key, Idem and Data; not checked further
	Token  string     // of Credentials
	Plain  bool       // a message in plain mode
}

// MaxLast is the most events that a Subscribe can ask for.
const MaxLast = 1000

const maxRef = 64 // bytes

// frame is an action as it is on the wire.
type frame struct {
	Action   Kind            `json:"action"`
	Ref      json.RawMessage `json:"ref"`
	Topics   topicList       `json:"topics"`
	Last     int             `json:"last"`
	Topic    string          `json:"topic"`
	Event    string          `json:"event"`
	Key      string          `json:"key"`
	Idem     string          `json:"idem"`
	Type     string          `json:"type"`
	Encoding string          `json:"encoding"`
	Data     json.RawMessage `json:"data"`
	Token    string          `json:"token"`
}

// ParseAction reads the JSON of an action: what a message of push.v1 holds, and
// the body of its REST twin. It does not keep b. The text of its error is for
// the client; the action then has its Ref only, as far as that can be read.
func ParseAction(b []byte) (*Action, error) {
	var f frame
	err := json.Unmarshal(b, &f)
	ref, refErr := readRef(f.Ref)
	bare := &Action{Ref: ref}
	switch {
	case err != nil:
		return bare, describe(err)
	case refErr != nil:
		return bare, refErr
	}
	a := &Action{Kind: f.Action, Ref: ref}
	if err := f.fill(a); err != nil {
		return bare, err
	}
	return a, nil
}

// ParseEvent reads the JSON of a publish action, without its action and ref, as
// an event that is well formed but not checked further.
func ParseEvent(b []byte) (push.Event, error) {
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		return push.Event{}, describe(err)
	}
	var a Action
	err := f.fillEvent(&a)
	return a.Event, err
}

func readRef(raw json.RawMessage) (ref string, err error) {
	if raw == nil {
		return "", nil
	}
	if json.Unmarshal(raw, &ref) != nil || len(ref) > maxRef {
		return "", fmt.Errorf("ref: a string of at most %d bytes is expected", maxRef)
	}
	return ref, nil
}

func (f *frame) fill(a *Action) error {
	switch f.Action {
	case Subscribe:
		return f.fillSubscribe(a)
	case Unsubscribe:
		return f.fillTopics(a)
	case Publish:
		return f.fillEvent(a)
	case Credentials:
		if f.Token == "" {
			return errors.New("token is missing")
		}
		a.Token = f.Token
		return nil
	}
	return errors.New("action: subscribe, unsubscribe, publish or credentials is expected")
}

func (f *frame) fillSubscribe(a *Action) error {
	if f.Last < 0 || f.Last > MaxLast {
		return fmt.Errorf("last: 0 to %d are allowed", MaxLast)
	}
	a.Last = f.Last
	return f.fillTopics(a)
}

func (f *frame) fillTopics(a *Action) error {
	switch {
	case f.Topics.err != nil:
		return f.Topics.err
	case len(f.Topics.topics) == 0:
		return errors.New("topics is missing")
	}
	a.Topics = f.Topics.topics
	return nil
}

func (f *frame) fillEvent(a *Action) (err error) {
	if f.Data == nil {
		return errors.New("data is missing")
	}
	if f.Type == "" {
		f.Type = "application/json"
	}
	a.Event = push.Event{Topic: f.Topic, Name: f.Event, ContentType: f.Type, Key: f.Key, Idem: f.Idem}
	a.Event.Data, err = f.payload(a.Event.Kind())
	return err
}

// payload undoes what wire.AppendEvent does to data.
func (f *frame) payload(kind push.Kind) ([]byte, error) {
	switch {
	case f.Encoding != "" && f.Encoding != "base64":
		return nil, errors.New("encoding: base64 or nothing is allowed")
	case f.Encoding == "" && kind == push.KindJSON:
		return f.Data, nil
	case f.Encoding == "" && kind != push.KindText:
		return nil, fmt.Errorf("data of type %q has to be in base64, with \"encoding\":\"base64\"", cut(f.Type, push.MaxContentTypeLen))
	}
	var s string
	if f.Data[0] != '"' || json.Unmarshal(f.Data, &s) != nil {
		return nil, errors.New("data: a string is expected, as the type is not JSON or the encoding base64")
	}
	if f.Encoding == "" {
		return []byte(s), nil
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("data is not valid base64")
	}
	return data, nil
}

// describe says what is wrong with JSON without naming types of ours.
func describe(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return errors.New("an action is a JSON object")
		}
		return fmt.Errorf("%s: a %s is not expected here", e.Field, e.Value)
	}
	return fmt.Errorf("an action is a JSON object: %w", err)
}

// topicList is read only as far as the limit: a million topics cost no more
// than a thousand.
type topicList struct {
	topics []string
	err    error
}

// UnmarshalJSON implements json.Unmarshaler. It returns no error, which would
// end the reading of the members that follow.
func (l *topicList) UnmarshalJSON(b []byte) error {
	l.topics, l.err = readTopics(json.NewDecoder(bytes.NewReader(b)))
	return nil
}

func readTopics(dec *json.Decoder) (topics []string, err error) {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("topics: a list is expected")
	}
	for dec.More() {
		t, err := dec.Token()
		topic, ok := t.(string)
		switch {
		case err != nil || !ok:
			return nil, errors.New("topics: strings are expected")
		case len(topics) == push.MaxSubscriptionTopics:
			return nil, fmt.Errorf("topics: at most %d are allowed; use a pattern", push.MaxSubscriptionTopics)
		}
		topics = append(topics, topic)
	}
	return topics, nil
}
