package poll_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

func write(t testing.TB, p *poll.Page, ifNoneMatch ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["If-None-Match"] = ifNoneMatch
	w := httptest.NewRecorder()
	if err := poll.Write(w, r, p); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPageOnTheWire(t *testing.T) {
	hub := newHub(t, push.Retention{})
	ids := publish(t, hub, "wall", 0, 2)
	w := write(t, read(t, hub, poll.Query{Topics: wall}))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	if cc := w.Header().Get("Cache-Control"); cc != "private, no-cache" {
		t.Errorf("Cache-Control %q: a shared cache would keep the page", cc)
	}
	p := decode(t, w.Body.Bytes())
	if len(p.Items) != 2 || p.Items[0].ID != ids[0].String() || p.Items[1].Data != "1" || p.Items[0].Topic != "wall" || p.Items[0].Event != "message" {
		t.Errorf("items %+v", p.Items)
	}
	if p.Gap != nil || p.First != ids[0].String() || p.Last != ids[1].String() {
		t.Errorf("gap %v first %q last %q", p.Gap, p.First, p.Last)
	}
	if !strings.Contains(w.Body.String(), `"gap":null`) {
		t.Error("a page without a gap does not say so")
	}
}

func TestPageThatTheClientHasIs304(t *testing.T) {
	hub := newHub(t, push.Retention{})
	publish(t, hub, "wall", 0, 2)
	first := write(t, read(t, hub, poll.Query{Topics: wall}))
	etag := first.Header().Get("Etag")
	if !strings.HasPrefix(etag, `"`) {
		t.Fatalf("ETag %q is not strong", etag)
	}
	again := write(t, read(t, hub, poll.Query{Topics: wall}), etag)
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("Etag") != etag {
		t.Errorf("the same page again: %d with %d bytes, ETag %q", again.Code, again.Body.Len(), again.Header().Get("Etag"))
	}
	publish(t, hub, "wall", 2, 3)
	if w := write(t, read(t, hub, poll.Query{Topics: wall}), etag); w.Code != http.StatusOK || w.Header().Get("Etag") == etag {
		t.Errorf("a page with one more item: %d, the same ETag %v", w.Code, w.Header().Get("Etag") == etag)
	}
}

func TestETagTellsAGapFromNone(t *testing.T) {
	hub := newHub(t, push.Retention{})
	publish(t, hub, "wall", 0, 2)
	plain, gap := write(t, read(t, hub, poll.Query{Topics: wall, After: "0"})), write(t, read(t, hub, poll.Query{Topics: wall, After: "forged"}))
	if plain.Header().Get("Etag") == gap.Header().Get("Etag") {
		t.Error("the same items with and without a gap have one ETag: a cache would hide the gap")
	}
}

// Equal tags have to mean equal bytes: two pages of one tag would be joined
// wrongly by a cache.
func TestEqualTagsAreEqualBytes(t *testing.T) {
	hub := newHub(t, push.Retention{Count: 3})
	bodies := map[string]string{}
	for i := range 20 {
		publish(t, hub, []string{"other", "wall"}[i%2], i, i+1)
		for _, q := range []poll.Query{{}, {After: "0"}, {After: "forged"}, {Limit: 1}, {Before: hub.Position().String()}, {After: hub.Position().String()}} {
			for _, topics := range [][]string{wall, {"other"}, {"none"}} {
				q.Topics = topics
				w := write(t, read(t, hub, q))
				etag := w.Header().Get("Etag")
				if body, ok := bodies[etag]; ok && body != w.Body.String() {
					t.Fatalf("one tag %s for\n%s%s", etag, body, w.Body)
				}
				bodies[etag] = w.Body.String()
			}
		}
	}
}

func TestEmptyPageStaysTheSameWhileOthersPublish(t *testing.T) {
	hub := newHub(t, push.Retention{})
	start := publish(t, hub, "other", 0, 5)[4].String()
	first := write(t, read(t, hub, poll.Query{Topics: wall}))
	etag := first.Header().Get("Etag")
	after := publish(t, hub, "other", 5, 9)[3].String()
	p := read(t, hub, poll.Query{Topics: wall})
	if w := write(t, p, `"x"`, etag); w.Code != http.StatusNotModified || w.Header().Get("Etag") != etag {
		t.Errorf("nothing was published to the topic: %d, ETag %q, want 304 and %q", w.Code, w.Header().Get("Etag"), etag)
	}
	if p := decode(t, write(t, read(t, hub, poll.Query{Topics: wall})).Body.Bytes()); p.Last != after {
		t.Errorf("a new client starts at %s, want the newest position %s", p.Last, after)
	}
	beyond, foreign := push.ID{Epoch: hub.Position().Epoch, Seq: 1 << 40}, push.ID{Epoch: 7, Seq: 1}
	for name, tag := range map[string]string{
		"a position beyond the head": `"at-` + beyond.String() + `"`, "another epoch": `"at-` + foreign.String() + `"`, "no cursor": `"at-x"`, "nothing": `"at-"`,
	} {
		if w := write(t, read(t, hub, poll.Query{Topics: wall}), tag); w.Code != http.StatusOK {
			t.Errorf("If-None-Match with %s: %d", name, w.Code)
		}
	}
	if w := write(t, read(t, hub, poll.Query{Topics: wall, After: after}), `"at-`+start+`"`); w.Code != http.StatusOK {
		t.Errorf("a position before the cursor: %d, the client would go back", w.Code)
	}
	publish(t, hub, "wall", 0, 1)
	if w := write(t, read(t, hub, poll.Query{Topics: wall}), etag); w.Code != http.StatusOK {
		t.Errorf("the topic has an event now: %d", w.Code)
	}
}

func TestOnlyAFullPageBetweenCursorsIsImmutable(t *testing.T) {
	hub := newHub(t, push.Retention{Count: 10})
	ids := publish(t, hub, "wall", 0, 13) // the first three are gone
	at := func(i int) string { return ids[i].String() }
	for _, c := range []struct {
		q     poll.Query
		fixed bool
	}{
		{poll.Query{After: at(4), Limit: 3}, true},
		{poll.Query{After: at(9), Limit: 2}, true},
		{poll.Query{After: at(9), Limit: 3}, false}, // the next request may have more
		{poll.Query{After: at(12), Limit: 3}, false},
		{poll.Query{After: "0", Limit: 3}, false},   // the oldest one changes
		{poll.Query{After: at(1), Limit: 3}, false}, // has a gap
		{poll.Query{After: "forged", Limit: 3}, false},
		{poll.Query{Limit: 3}, false}, // the newest page
		{poll.Query{Before: at(8), Limit: 3}, true},
		{poll.Query{Before: at(5), Limit: 3}, false}, // not full: it may have been cut by what is gone
		{poll.Query{Before: "forged", Limit: 3}, false},
	} {
		c.q.Topics = wall
		p := read(t, hub, c.q)
		w := write(t, p)
		if got := w.Header().Get("Cache-Control"); (got == poll.Immutable) != c.fixed || got != poll.Immutable && got != poll.NoCache {
			t.Errorf("%+v: %v: Cache-Control %q, want it immutable: %v", c.q, texts(p), got, c.fixed)
		}
		publish(t, hub, "other", 0, 1)
		publish(t, hub, "more", 0, 5)
		if again := write(t, read(t, hub, c.q)); c.fixed && again.Body.String() != w.Body.String() {
			t.Errorf("%+v: an immutable page changed", c.q)
		}
	}
}

func TestIfNoneMatchIsComparedWeakly(t *testing.T) {
	const etag = `W/"abc"`
	for header, want := range map[string]bool{
		`W/"abc"`: true, `"abc"`: true, `*`: true, `"x", W/"abc"`: true, `"x",W/"abc","y"`: true, ` W/"abc" `: true,
		``: false, `"x"`: false, `abc`: false, `W/"ab"`: false, `"abcd"`: false, `W/`: false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", header)
		if got := poll.Matches(r, etag); got != want {
			t.Errorf("If-None-Match: %s: %v, want %v", header, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["If-None-Match"] = []string{`"x"`, etag}
	if !poll.Matches(r, etag) {
		t.Error("the second line of If-None-Match is not looked at")
	}
	r.Header.Del("If-None-Match")
	if poll.Matches(r, etag) {
		t.Error("matches without If-None-Match")
	}
}
