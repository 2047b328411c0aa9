package push_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Failures 23 and 24: what would break a transport is refused at publish.
func TestWhatCannotBePublished(t *testing.T) {
	long := func(n int) string { return strings.Repeat("n", n) }
	for what, c := range map[string]struct {
		e  push.Event
		ok bool
	}{
		"nothing but a topic":       {push.Event{Topic: "a"}, true},
		"no topic":                  {push.Event{}, false},
		"a pattern":                 {push.Event{Topic: "a/*"}, false},
		"the library's topic":       {push.Event{Topic: "$presence/a"}, false},
		"a name":                    {push.Event{Topic: "a", Name: "post"}, true},
		"a name with spaces":        {push.Event{Topic: "a", Name: "häufig gefragt: ja"}, true},
		"a longest name":            {push.Event{Topic: "a", Name: long(push.MaxNameLen)}, true},
		"a name that is too long":   {push.Event{Topic: "a", Name: long(push.MaxNameLen + 1)}, false},
		"LF in a name":              {push.Event{Topic: "a", Name: "x\ndata: y"}, false},
		"CR in a name":              {push.Event{Topic: "a", Name: "x\r"}, false},
		"NUL in a name":             {push.Event{Topic: "a", Name: "\x00"}, false},
		"a name of no UTF-8":        {push.Event{Topic: "a", Name: "\xff"}, false},
		"open":                      {push.Event{Topic: "a", Name: "open"}, false},
		"error":                     {push.Event{Topic: "a", Name: "error"}, false},
		"push.gap":                  {push.Event{Topic: "a", Name: "push.gap"}, false},
		"push.":                     {push.Event{Topic: "a", Name: "push."}, false},
		"push":                      {push.Event{Topic: "a", Name: "push"}, true},
		"opened":                    {push.Event{Topic: "a", Name: "opened"}, true},
		"message":                   {push.Event{Topic: "a", Name: "message"}, true},
		"LF in a key":               {push.Event{Topic: "a", Key: "a\nb"}, false},
		"a longest key":             {push.Event{Topic: "a", Key: long(push.MaxKeyLen), Idem: long(push.MaxKeyLen)}, true},
		"a key that is too long":    {push.Event{Topic: "a", Key: long(push.MaxKeyLen + 1)}, false},
		"CR in an idempotency key":  {push.Event{Topic: "a", Idem: "\r"}, false},
		"a long idempotency key":    {push.Event{Topic: "a", Idem: long(push.MaxKeyLen + 1)}, false},
		"JSON":                      {push.Event{Topic: "a", ContentType: "application/json", Data: []byte(` {"a":1} `)}, true},
		"JSON in lines":             {push.Event{Topic: "a", ContentType: "application/json", Data: []byte("{\r\n}")}, true},
		"no JSON":                   {push.Event{Topic: "a", ContentType: "application/json", Data: []byte(`{`)}, false},
		"two values":                {push.Event{Topic: "a", ContentType: "application/json", Data: []byte(`1 2`)}, false},
		"empty JSON":                {push.Event{Topic: "a", ContentType: "application/json"}, false},
		"JSON of no UTF-8":          {push.Event{Topic: "a", ContentType: "application/json", Data: []byte("\"\xff\"")}, false},
		"some +json":                {push.Event{Topic: "a", ContentType: "application/vnd.x+json; v=1", Data: []byte(`nope`)}, false},
		"text of no UTF-8":          {push.Event{Topic: "a", ContentType: "text/html", Data: []byte("\xff")}, false},
		"latin-1, which is binary":  {push.Event{Topic: "a", ContentType: "text/plain; charset=iso-8859-1", Data: []byte("\xff")}, true},
		"bytes of no type":          {push.Event{Topic: "a", Data: []byte("\xff\x00")}, true},
		"octets":                    {push.Event{Topic: "a", ContentType: "application/octet-stream", Data: []byte("\xff\x00")}, true},
		"no media type":             {push.Event{Topic: "a", ContentType: "nonsense"}, false},
		"a broken media type":       {push.Event{Topic: "a", ContentType: "text/plain; charset"}, false},
		"LF in a media type":        {push.Event{Topic: "a", ContentType: "text/plain;\n x=y"}, false},
		"a media type that is long": {push.Event{Topic: "a", ContentType: "text/" + long(push.MaxContentTypeLen)}, false},
	} {
		if err := c.e.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, push.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The REST layer answers 422 rather than 400 to these.
func TestWhatIsWellFormedButCannotBePublished(t *testing.T) {
	for what, c := range map[string]struct {
		e    push.Event
		want bool
	}{
		"a reserved name":      {push.Event{Topic: "a", Name: "push.open"}, true},
		"data that is no JSON": {push.Event{Topic: "a", ContentType: "application/json"}, true},
		"data that is no text": {push.Event{Topic: "a", ContentType: "text/plain", Data: []byte("\xff")}, true},
		"a bad name":           {push.Event{Topic: "a", Name: "\n"}, false},
		"a bad topic":          {push.Event{Topic: "/"}, false},
	} {
		if err := c.e.Check(); errors.Is(err, push.ErrUnprocessable) != c.want || !errors.Is(err, push.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestHowAPayloadTravels(t *testing.T) {
	for contentType, want := range map[string]push.Kind{
		"application/json": push.KindJSON, "Application/JSON; charset=UTF-8": push.KindJSON, "application/problem+json": push.KindJSON,
		"text/plain": push.KindText, "text/csv; charset=us-ascii": push.KindText, "image/svg+xml": push.KindText, "application/xml": push.KindText,
		"application/javascript": push.KindText, "application/x-www-form-urlencoded": push.KindText, "": push.KindText,
		"application/octet-stream": push.KindBinary, "image/png": push.KindBinary, "text/plain; charset=utf-16": push.KindBinary,
	} {
		e := push.Event{ContentType: contentType, Data: []byte("1")}
		if got := e.Kind(); got != want {
			t.Errorf("%q is of kind %d, want %d", contentType, got, want)
		}
	}
	for data, want := range map[string]string{"ünï": "text/plain; charset=utf-8", "": "text/plain; charset=utf-8", "\xff": "application/octet-stream"} {
		e := push.Event{Data: []byte(data)}
		if got := e.MediaType(); got != want {
			t.Errorf("%q is %s, want %s", data, got, want)
		}
	}
	if e := (push.Event{ContentType: "text/CSV"}); e.MediaType() != "text/CSV" {
		t.Errorf("the type that was given became %s", e.MediaType())
	}
}

func TestJSONMakesAnEvent(t *testing.T) {
	e, err := push.JSON("a", "post", map[string]int{"x": 1})
	if err != nil || e.Topic != "a" || e.Name != "post" || string(e.Data) != `{"x":1}` || e.Kind() != push.KindJSON {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := push.JSON("a", "", func() {}); err == nil {
		t.Error("a function became JSON")
	}
}

// One bad event of many: none is published.
func TestPublishIsAllOrNothingForInvalidEvents(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		h := newHub(t, b)
		good, bad := push.Event{Topic: "a"}, push.Event{Topic: "a", Name: "open"}
		if _, err := h.Publish(t.Context(), good, bad); !errors.Is(err, push.ErrInvalid) {
			t.Errorf("Publish: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Publish(ended, good); !errors.Is(err, context.Canceled) {
			t.Errorf("Publish with an ended context: %v", err)
		}
		if ids, err := h.Publish(t.Context()); err != nil || len(ids) != 0 {
			t.Errorf("Publish of nothing: %v, %v", ids, err)
		}
		if got := history(t, b, "**"); got != nil {
			t.Errorf("published were %q", got)
		}
	})
}

// The publisher may reuse its slices and maps, and cannot reach into the log.
func TestThePublishersMemoryIsItsOwn(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		e := push.Event{Topic: "a", Data: []byte("data"), Meta: map[string]string{"k": "v"}}
		events := []push.Event{e}
		if _, err := h.Publish(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		copy(e.Data, "XXXX")
		e.Meta["k"] = "X"
		events[0].Topic = "X"
		time.Sleep(time.Second)
		m := next(t, s).Messages[0]
		if m.Topic != "a" || string(m.Data) != "data" || m.Meta["k"] != "v" || events[0].ID != (push.ID{}) {
			t.Errorf("delivered %+v; the publisher has %+v", m.Event, events[0])
		}
		if m.Time.IsZero() || time.Since(m.Time) != time.Second {
			t.Errorf("it was published at %v", m.Time)
		}
	})
}
