package r3labs_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse/r3labs"
)

// Everything that clients see of an event, and no control event among it.
func TestFieldsOnTheWire(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for name, c := range map[string]struct {
		ev            r3sse.Event
		base64, split bool
		want          string
	}{
		"all fields": {ev: r3sse.Event{ID: b("1"), Data: b("x"), Event: b("e"), Retry: b("5"), Comment: b("c")},
			want: "id: 1\ndata: x\nevent: e\nretry: 5\n: c\n\n"},
		"lines":                {ev: r3sse.Event{ID: b("1"), Data: b("a\nb\r\nc\r")}, want: "id: 1\ndata: a\ndata: b\ndata: c\ndata: \n\n"},
		"base64":               {ev: r3sse.Event{ID: b("1"), Data: b("x")}, base64: true, want: "id: 1\ndata: eA==\n\n"},
		"bytes as they are":    {ev: r3sse.Event{ID: b("1"), Data: b("\xff\x00")}, want: "id: 1\ndata: \xff\x00\n\n"},
		"a colon is a comment": {ev: r3sse.Event{ID: b("1"), Data: b(": ping")}, want: ": ping\n\n"},
		"a colon is data":      {ev: r3sse.Event{ID: b("1"), Data: b(":)")}, split: true, want: "id: 1\ndata: :)\n\n"},
		"only a comment":       {ev: r3sse.Event{Comment: b("a\nb")}, want: ": a\n: b\n\n"},
		"nothing":              {ev: r3sse.Event{ID: b("1"), Event: b("e")}, want: ""},
		"names that we keep":   {ev: r3sse.Event{ID: b("1"), Data: b("x"), Event: b("push.open")}, want: "id: 1\ndata: x\nevent: push.open\n\n"},
		"no field smuggled in": {ev: r3sse.Event{ID: b("1\ndata: y"), Data: b("x"), Event: b("e\rid: 2"), Retry: b("5\n\n")},
			want: "id: 1\ndata: x\nevent: e\nretry: 5\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := r3labs.New(push.New())
				s.EncodeBase64, s.SplitData = c.base64, c.split
				s.CreateStream("messages")
				if got := record(t, s, 0, func() { s.Publish("messages", &c.ev) }); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestPublishLeavesTheEventAlone(t *testing.T) {
	s := r3labs.New(push.New())
	s.EncodeBase64 = true
	s.CreateStream("messages")
	ev := event("mine", "x")
	s.Publish("messages", ev)
	if string(ev.ID) != "mine" || string(ev.Data) != "x" {
		t.Errorf("%+v", ev)
	}
}

// A comment is no event: it must not push events out of the history.
func TestCommentsAreNotInTheLog(t *testing.T) {
	hub := push.New()
	s := r3labs.New(hub)
	s.CreateStream("messages")
	s.Publish("messages", &r3sse.Event{Comment: []byte("ping")})
	if head, _ := hub.Head(t.Context()); head.Seq != 0 {
		t.Error(head)
	}
}

// One log for all: what is published here is read elsewhere, and the other way.
func TestStreamIsATopicOfTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := push.New()
		s := r3labs.New(hub)
		s.CreateStream("messages")
		s.Publish("messages", &r3sse.Event{Data: []byte("x"), Event: []byte("e")})
		page, err := hub.History(t.Context(), push.Query{Topics: []string{"messages"}})
		if err != nil || len(page.Events) != 1 || page.Events[0].Name != "e" || string(page.Events[0].Data) != "x" {
			t.Error(page, err)
		}
		_, _ = hub.Publish(t.Context(), push.Event{Topic: "messages", Name: "n", Data: []byte("y")})
		if got := record(t, s, 0, nil); !strings.HasSuffix(got, "\ndata: y\nevent: n\n\n") {
			t.Errorf("%q", got)
		}
	})
}

func TestOnErrorSaysWhyNothingWasPublished(t *testing.T) {
	hub := push.NewHub(push.NewMemory(push.MaxBytes(1000)))
	s := r3labs.New(hub)
	var got error
	s.OnError = func(_ string, err error) { got = err }
	s.CreateStream("messages")
	if s.TryPublish("messages", event("", strings.Repeat("x", 2000))) || !errors.Is(got, push.ErrTooLarge) {
		t.Error(got)
	}
}

func TestEveryStreamHasATopicOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{
		"messages", "a/b", "a*", "", "/", "$x", "a b", "ünï", "a\nb", "a%b", "r3labs/YSo", "r3labs/sha256/x",
		strings.Repeat("x", 200), strings.Repeat("x", 201), strings.Repeat("*", 140), strings.Repeat("*", 150), strings.Repeat("*", 151),
	} {
		topic := r3labs.Topic(id)
		if err := push.CheckTopic(topic); err != nil {
			t.Error(id, err)
		}
		if other, ok := seen[topic]; ok {
			t.Errorf("%q and %q are both %q", id, other, topic)
		}
		seen[topic] = id
	}
	if r3labs.Topic("messages") != "messages" || r3labs.Topic("a b") != "a b" {
		t.Error("a topic must stay readable")
	}
}
