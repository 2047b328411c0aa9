package ws_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

func TestParseAction(t *testing.T) {
	for text, want := range map[string]ws.Action{
		`{"action":"subscribe","ref":"1","topics":["a","b/*"],"last":20,"unknown":1}`: {Kind: ws.Subscribe, Ref: "1", Topics: []string{"a", "b/*"}, Last: 20},
		`{"action":"unsubscribe","ref":null,"topics":["a,b"]}`:                        {Kind: ws.Unsubscribe, Topics: []string{"a,b"}},
		`{"action":"credentials","token":"x"}`:                                        {Kind: ws.Credentials, Token: "x"},
		`{"action":"publish","topic":"a","event":"e","key":"k","idem":"i","data": {"x" : 1} }`: {Kind: ws.Publish,
			Event: push.Event{Topic: "a", Name: "e", Key: "k", Idem: "i", ContentType: "application/json", Data: []byte(`{"x" : 1}`)}},
		`{"action":"publish","data":null}`:                         {Kind: ws.Publish, Event: push.Event{ContentType: "application/json", Data: []byte("null")}},
		`{"action":"publish","data":"x"}`:                          {Kind: ws.Publish, Event: push.Event{ContentType: "application/json", Data: []byte(`"x"`)}},
		`{"action":"publish","type":"text/html","data":"<\u00e9"}`: {Kind: ws.Publish, Event: push.Event{ContentType: "text/html", Data: []byte("<é")}},
		`{"action":"publish","type":"image/png","encoding":"base64","data":"/w=="}`: {Kind: ws.Publish,
			Event: push.Event{ContentType: "image/png", Data: []byte("\xFF")}},
	} {
		a, err := ws.ParseAction([]byte(text))
		if err != nil || !reflect.DeepEqual(*a, want) {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
}

func TestParseActionSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                      "an action is a JSON object: unexpected end of JSON input",
		`[1]`:                    "an action is a JSON object",
		`null`:                   "action: subscribe, unsubscribe, publish or credentials is expected",
		`{"action":"subscribe"}`: "topics is missing",
		`{"action":"subscribe","topics":["a"],"last":1001}`:                       "last: 0 to 1000 are allowed",
		`{"action":"subscribe","topics":["a"],"last":-1}`:                         "last: 0 to 1000 are allowed",
		`{"action":"subscribe","topics":["a"],"last":"x"}`:                        "last: a string is not expected here",
		`{"action":"subscribe","topics":{}}`:                                      "topics: a list is expected",
		`{"action":"subscribe","topics":["a",1]}`:                                 "topics: strings are expected",
		`{"action":"subscribe","topics":["a"],"ref":1}`:                           "ref: a string of at most 64 bytes is expected",
		`{"action":"publish"}`:                                                    "data is missing",
		`{"action":"publish","data":"x","type":"image/png"}`:                      `data of type "image/png" has to be in base64, with "encoding":"base64"`,
		`{"action":"publish","data":1,"type":"text/plain"}`:                       "data: a string is expected, as the type is not JSON or the encoding base64",
		`{"action":"publish","data":null,"type":"text/plain"}`:                    "data: a string is expected, as the type is not JSON or the encoding base64",
		`{"action":"publish","data":"x","type":"text/plain","encoding":"base64"}`: "data is not valid base64",
		`{"action":"publish","data":"x","encoding":"gzip"}`:                       "encoding: base64 or nothing is allowed",
		`{"action":"credentials"}`:                                                "token is missing",
	} {
		if _, err := ws.ParseAction([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A million topics cost no more memory than a thousand.
func TestTopicsAboveTheLimitAreNotRead(t *testing.T) {
	text := []byte(`{"action":"subscribe","topics":["topic"` + strings.Repeat(`,"topic"`, 1e5) + `]}`)
	var err error
	n := testing.AllocsPerRun(1, func() { _, err = ws.ParseAction(text) })
	if err == nil || n > 10*push.MaxSubscriptionTopics {
		t.Errorf("%v allocations, %v", n, err)
	}
}

func FuzzParseAction(f *testing.F) {
	f.Add([]byte(`{"action":"subscribe","ref":"1","topics":["a","b/*"],"last":20}`))
	f.Add([]byte(`{"action":"publish","topic":"a","event":"e","type":"text/plain","data":"x"}`))
	f.Add([]byte(`{"action":"publish","type":"image/png","encoding":"base64","data":"/w=="}`))
	f.Add([]byte(`{"action":"publish","data":null,"type":"a/b+json"}`))
	f.Add([]byte(`{"action":"credentials","token":"x","ref":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		a, err := ws.ParseAction(b)
		switch {
		case a == nil || len(a.Ref) > 64:
			t.Fatalf("%+v", a)
		case err != nil:
			if !reflect.DeepEqual(*a, ws.Action{Ref: a.Ref}) {
				t.Fatalf("%v with %+v", err, a)
			}
			return
		}
		if string(b) != before || !json.Valid(b) {
			t.Fatalf("%q was accepted", b)
		}
		for i := range b { // the action must not depend on the caller's memory
			b[i] = 'x'
		}
		again, err := ws.ParseAction([]byte(before))
		if err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("%q: %+v and %+v", before, a, again)
		}
		ok := false
		switch a.Kind {
		case ws.Subscribe, ws.Unsubscribe:
			ok = len(a.Topics) > 0 && len(a.Topics) <= push.MaxSubscriptionTopics && a.Last >= 0 && a.Last <= ws.MaxLast
		case ws.Publish:
			ok = a.Event.ContentType != ""
		case ws.Credentials:
			ok = a.Token != ""
		}
		if !ok {
			t.Fatalf("%q: %+v", before, a)
		}
	})
}
