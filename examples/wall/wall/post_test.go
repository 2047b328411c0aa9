package wall

import (
	"errors"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// receive publishes as a client does and returns what the log has then.
func receive(t *testing.T, e push.Event) (string, error) {
	t.Helper()
	w := New(Memory(), Options{})
	t.Cleanup(func() { _ = w.hub.Shutdown(t.Context()) })
	if _, err := w.hub.Receive(t.Context(), &push.Inbound{Event: &e}); err != nil {
		return "", err
	}
	page, err := w.hub.History(t.Context(), push.Query{Topics: []string{e.Topic}})
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("History = %d events, %v; want the one that was accepted", len(page.Events), err)
	}
	return string(page.Events[0].Data), nil
}

func postOf(data string) push.Event {
	return push.Event{Topic: "wall", Name: "post", ContentType: "application/json", Data: []byte(data)}
}

func TestPostsAreAcceptedAndTrimmed(t *testing.T) {
	balloons := strings.Repeat("🎈", 280) // 280 code points, 1120 bytes
	for in, want := range map[string]string{
		`{"text":"x"}`:                         `{"text":"x"}`,
		"{\n \"text\" : \"\\t a  b \\u2003\"}": `{"text":"a  b"}`,
		`{"text":"  ` + balloons + `\n"}`:      `{"text":"` + balloons + `"}`,
	} {
		if got, err := receive(t, postOf(in)); err != nil || got != want {
			t.Errorf("%s became %q, %v; want %q", in, got, err, want)
		}
	}
}

// A message on a plain WebSocket has no name.
func TestAPostWithoutANameIsAPost(t *testing.T) {
	e := postOf(`{"text":"x"}`)
	e.Name = ""
	if got, err := receive(t, e); err != nil || got != `{"text":"x"}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestBadPostsAreRefusedWithTheReason(t *testing.T) {
	named := func(name string) push.Event { e := postOf(`{"text":"x"}`); e.Name = name; return e }
	typed := postOf("hello")
	typed.ContentType = "text/plain"
	for name, c := range map[string]struct {
		event push.Event
		want  string
	}{
		"empty":          {postOf(`{"text":""}`), "needs some text"},
		"only spaces":    {postOf(`{"text":" \n\u00a0"}`), "needs some text"},
		"no text":        {postOf(`{}`), "needs some text"},
		"null":           {postOf(`null`), "needs some text"},
		"281 characters": {postOf(`{"text":"` + strings.Repeat("ä", 281) + `"}`), "at most 280 characters, and this one has 281"},
		"no object":      {postOf(`"hello"`), "and nothing else"},
		"a number":       {postOf(`{"text":1}`), "and nothing else"},
		"another member": {postOf(`{"text":"x","html":"<b>"}`), "and nothing else"},
		"plain text":     {typed, "Content-Type: application/json"},
		"another name":   {named("shout"), `this one is named "shout"`},
		"false counts":   {push.Event{Topic: "wall/visitors", Name: "visitors", Data: []byte(`{"sse":1000}`)}, "only the wall itself"},
	} {
		_, err := receive(t, c.event)
		refused, ok := errors.AsType[*push.RefusedError](err)
		if !ok || !strings.Contains(refused.Reason, c.want) {
			t.Errorf("%s: %v; want a refusal that says %q", name, err, c.want)
		}
	}
}

func TestOtherTopicsAreOpen(t *testing.T) {
	if got, err := receive(t, push.Event{Topic: "news/today", Data: []byte("rain")}); err != nil || got != "rain" {
		t.Errorf("an event on another topic became %q, %v", got, err)
	}
}

func TestTheWallKeepsTheNewest200PostsHoweverOld(t *testing.T) {
	w := New(Memory(), Options{})
	t.Cleanup(func() { _ = w.hub.Shutdown(t.Context()) })
	for range 250 {
		e := postOf(`{"text":"x"}`)
		if _, err := w.hub.Receive(t.Context(), &push.Inbound{Event: &e}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := w.hub.History(t.Context(), push.Query{Topics: []string{"wall"}, Limit: 1000})
	if err != nil || len(page.Events) != 200 || page.Events[0].ID.Seq != 51 {
		t.Errorf("the wall keeps %d posts, %v; want 200, the first of them the 51st", len(page.Events), err)
	}
}
