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
	if !strings.HasPrefix(etag, `W/"`) {
		t.Fatalf("ETag %q is not weak", etag)
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
	plain, gap := read(t, hub, poll.Query{Topics: wall, After: "0"}), read(t, hub, poll.Query{Topics: wall, After: "forged"})
	if plain.ETag() == gap.ETag() {
		t.Error("the same items with and without a gap have one ETag: a cache would hide the gap")
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
