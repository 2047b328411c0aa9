package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// page is a JSON page.
type page struct {
	Items       []item
	Gap         *gapData
	First, Last string
	link        string // of the next page
}

type item struct{ wire.Envelope }

func (i item) text() string {
	var s string
	if json.Unmarshal(i.Data, &s) != nil {
		return string(i.Data)
	}
	return s
}

func (p *page) texts() []string {
	texts := []string{}
	for _, i := range p.Items {
		texts = append(texts, i.text())
	}
	return texts
}

func (s *site) page(path string, headers ...string) *page {
	s.t.Helper()
	return s.decodePage(s.get(path, headers...))
}

func (s *site) decodePage(a answer) *page {
	s.t.Helper()
	s.expect(http.StatusOK, a)
	if ct := a.Header.Get("Content-Type"); ct != typeJSON {
		s.t.Fatalf("%s: type %q", a.what, ct)
	}
	p := &page{}
	s.decode(a, p)
	if p.First == "" || p.Last == "" || p.Items == nil {
		s.t.Fatalf("%s: items, first or last are missing: %s", a.what, a.body)
	}
	if link := a.Header.Get("Link"); link != "" {
		url, rel, _ := strings.Cut(link, ">")
		if rel != `; rel="next"` || !strings.HasPrefix(url, "</push/") {
			s.t.Fatalf("%s: Link %q", a.what, link)
		}
		p.link = strings.TrimPrefix(url, "</push")
	}
	return p
}

func TestLinkNextLeadsThroughEveryEventOnce(t *testing.T) {
	s := serve(t, rest.Config{})
	for i := range 250 {
		s.publish([]string{"a/x", "a/ü", "b"}[i%3], numbers(i, i+1)...)
	}
	s.publish("noise", "x")
	for _, limit := range []string{"", "&limit=1", "&limit=7", "&limit=125", "&limit=250", "&limit=1000"} {
		var got []string
		for path := "/events?topic=a/*&topic=b&after=0" + limit; path != "" && len(got) <= 250; {
			p := s.page(path)
			got = append(got, p.texts()...)
			path = p.link
		}
		if !slices.Equal(got, numbers(0, 250)) {
			t.Errorf("%q: %d items by Link next, want each of 250 once", limit, len(got))
		}
	}
}

func TestBeforeLeadsBackThroughEveryEventOnce(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("a b/ü", numbers(0, 250)...)
	s.publish("noise", "x")
	for _, limit := range []string{"", "&limit=1", "&limit=7", "&limit=250"} {
		p := s.page("/topics/a%20b/%C3%BC?" + limit)
		got := p.texts()
		for len(p.Items) > 0 && len(got) <= 250 {
			if p.link != "" {
				t.Fatalf("%q: the newest page has a next one", limit)
			}
			p = s.page("/topics/a%20b/%C3%BC?before=" + p.First + limit)
			got = append(p.texts(), got...)
		}
		if !slices.Equal(got, numbers(0, 250)) {
			t.Errorf("%q: %d items by before, want each of 250 once", limit, len(got))
		}
	}
}

func TestNewestPageIsAHundredAscending(t *testing.T) {
	s := serve(t, rest.Config{Hub: keeps(2000)})
	s.publish("wall", numbers(0, 1100)...)
	for query, from := range map[string]int{"": 1000, "?limit=0": 1000, "?limit=20": 1080, "?limit=1000": 100} {
		if got := s.page("/topics/wall" + query).texts(); !slices.Equal(got, numbers(from, 1100)) {
			t.Errorf("%q: %d items, want %d to 1099", query, len(got), from)
		}
	}
	for _, limit := range []string{"1001", "-1", "x", "", "1.5", "999999999999999999999"} {
		s.expect(http.StatusBadRequest, s.get("/topics/wall?limit="+limit))
	}
}

func TestPageIgnoresLastEventID(t *testing.T) {
	s := serve(t, rest.Config{})
	ids := s.publish("wall", "1", "2")
	for _, cursor := range []string{ids[0].String(), "forged"} {
		if got := s.page("/topics/wall", "Last-Event-ID: "+cursor).texts(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("page with Last-Event-ID %s: %v", cursor, got)
		}
	}
}

func TestPageThatTheClientHasIs304(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("wall", "1")
	first := s.get("/topics/wall")
	etag := first.Header.Get("Etag")
	if !strings.HasPrefix(etag, `"`) {
		t.Errorf("ETag %q is not strong", etag)
	}
	for _, header := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		a := s.get("/topics/wall", "If-None-Match: "+header)
		s.expect(http.StatusNotModified, a)
		if a.Header.Get("Etag") != etag || a.body != "" {
			t.Errorf("304 with ETag %q and %d bytes", a.Header.Get("Etag"), len(a.body))
		}
	}
	s.publish("other", "x")
	s.expect(http.StatusNotModified, s.get("/topics/wall", "If-None-Match: "+etag))
	s.publish("wall", "2")
	s.expect(http.StatusOK, s.get("/topics/wall", "If-None-Match: "+etag))
}

func TestEmptyPageLeadsOn(t *testing.T) {
	s := serve(t, rest.Config{})
	before := s.page("/topics/wall")
	s.publish("other", "x")
	after := s.page("/topics/wall")
	if after.First != after.Last || after.Last == before.Last || len(after.Items) != 0 || after.Gap != nil {
		t.Errorf("empty pages %+v and %+v", before, after)
	}
	s.publish("wall", "1")
	for _, p := range []*page{before, after} {
		if got := s.page("/topics/wall?after=" + p.Last).texts(); !slices.Equal(got, []string{"1"}) {
			t.Errorf("after %s: %v", p.Last, got)
		}
	}
}

func TestForgedCursorOfAPageIsAGapEpoch(t *testing.T) {
	s := serve(t, rest.Config{})
	ids := s.publish("wall", "1", "2")
	for _, cursor := range []string{"x", "%00", "%FF", strings.Repeat("9", 4096), push.ID{Epoch: 1, Seq: 1}.String()} {
		p := s.page("/topics/wall?after=" + cursor)
		if p.Gap == nil || p.Gap.Reason != "epoch" || !slices.Equal(p.texts(), []string{"1", "2"}) || p.Last != ids[1].String() {
			t.Errorf("after %.10s: %+v %v", cursor, p.Gap, p.texts())
		}
	}
}

func TestOneEvent(t *testing.T) {
	s := serve(t, rest.Config{Hub: keeps(3)})
	old := s.publish("wall", numbers(0, 4)...)
	e, _ := push.JSON("wall", "post", map[string]string{"text": "hi"})
	ids, err := s.hub.Publish(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	path := "/topics/wall?id=" + ids[0].String()
	a := s.do(http.MethodGet, path, "")
	s.expect(http.StatusOK, a)
	var env wire.Envelope
	s.decode(a, &env)
	if env.ID != ids[0].String() || env.Topic != "wall" || env.Event != "post" || env.Type != typeJSON || string(env.Data) != `{"text":"hi"}` {
		t.Errorf("event %+v", env)
	}
	s.expect(http.StatusNotModified, s.get(path, "If-None-Match: "+a.Header.Get("Etag")))
	s.expect(http.StatusOK, s.do(http.MethodHead, path, ""))
	for _, gone := range old[:2] {
		s.expect(http.StatusGone, s.get("/topics/wall?id="+gone.String()))
	}
}

func TestEventThatNeverWasIs404(t *testing.T) {
	s := serve(t, rest.Config{})
	id := s.publish("wall", "1")[0]
	future, check, other := id, id, id
	future.Seq++
	check.Check += 2
	other.Epoch++
	for name, cursor := range map[string]string{
		"no cursor": "x", "future": future.String(), "forged check": check.String(), "other epoch": other.String(), "zero": "0",
		"before the first": push.ID{Epoch: id.Epoch}.String(), "largest": push.ID{Seq: 1<<64 - 1}.String(), "largest here": push.ID{Epoch: id.Epoch,
			Seq: 1<<64 - 1}.String(),
	} {
		if detail := s.expect(http.StatusNotFound, s.get("/topics/wall?id="+cursor)); !strings.Contains(detail, "no event") {
			t.Errorf("%s: %q", name, detail)
		}
	}
}

func TestPolicyLatestHasNoGapsOnPagesEither(t *testing.T) {
	hub := push.NewHub(push.NewMemory(push.Rules(push.Rule{Pattern: "**", Retention: push.Retention{Count: 2}})), push.WithPolicy("price/*", push.Latest))
	s := serve(t, rest.Config{Hub: hub})
	seen := s.publish("price/a", numbers(0, 1)...)[0].String()
	wall := s.publish("wall", "0")[0].String()
	s.publish("price/a", numbers(1, 5)...)
	s.publish("wall", numbers(1, 5)...)
	if p := s.page("/topics/price/a?after=" + seen); p.Gap != nil || !slices.Equal(p.texts(), []string{"3", "4"}) {
		t.Errorf("policy Latest: %v after the gap %+v, want what is left and no gap", p.texts(), p.Gap)
	}
	if p := s.page("/events?topic=price/*&topic=wall&after=" + seen); p.Gap == nil {
		t.Error("the gap of another topic is not told")
	}
	if p := s.page("/topics/wall?after=" + wall); p.Gap == nil || p.Gap.Reason != "trimmed" {
		t.Errorf("policy Tell: %+v", p.Gap)
	}
	if p := s.page("/topics/price/a?after=forged"); p.Gap == nil || p.Gap.Reason != "epoch" {
		t.Errorf("a forged cursor: %+v", p.Gap)
	}
}

func TestEventOfAnotherTopicIsNotShown(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("wall"))})
	secret := s.publish("secret", "x")[0]
	s.expect(http.StatusForbidden, s.get("/topics/secret?id="+secret.String()))
	if a := s.get("/topics/wall?id=" + secret.String()); a.StatusCode != http.StatusGone && a.StatusCode != http.StatusNotFound ||
		strings.Contains(a.body, `"data"`) {
		t.Errorf("an event of a topic that is not granted: %d %s", a.StatusCode, a.body)
	}
}

func TestQueryThatCannotBeUnderstoodIsRefused(t *testing.T) {
	s := serve(t, rest.Config{})
	for path, fix := range map[string]string{
		"/topics/wall?topic=news": "/events?topic=", "/events": "topic", "/events?topic=": "1 to 200", "/events?topic=a&topic=a//b": "empty segment",
		"/events?topic=a;topic=b": "query", "/topics/wall?after=%zz": "query", "/events?topic=$presence/a": "reserved", "/events?topic=a*": "whole segment",
		"/events?topic=**/a": "whole segment",
	} {
		if detail := s.expect(http.StatusBadRequest, s.get(path)); !strings.Contains(detail, fix) {
			t.Errorf("%s: %q does not say %q", path, detail, fix)
		}
	}
}

func TestLargeEventsAreAllReachedByLinkNext(t *testing.T) {
	s := serve(t, rest.Config{})
	big := strings.Repeat("x", 60<<10)
	for range 40 {
		s.publish("wall", big)
	}
	n := 0
	for path := "/topics/wall?after=0"; path != "" && n <= 40; {
		p := s.page(path)
		n, path = n+len(p.Items), p.link
	}
	if n != 40 {
		t.Errorf("%d of 40 large events by Link next", n)
	}
}

func TestPayloadsInEnvelopes(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, e := range []push.Event{
		{Topic: "wall", ContentType: typeJSON, Data: []byte("{\n\"a\":\r\n1}")},
		{Topic: "wall", Data: []byte("one\r\ntwo")},
		{Topic: "wall", Data: []byte{0, 0xff}},
	} {
		if _, err := s.hub.Publish(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	items := s.page("/topics/wall").Items
	if got := string(items[0].Data); strings.ContainsAny(got, "\r\n") || !json.Valid(items[0].Data) || items[0].Type != typeJSON {
		t.Errorf("JSON: %q", got)
	}
	if items[1].text() != "one\r\ntwo" || items[1].Type != "text/plain; charset=utf-8" {
		t.Errorf("text: %q %s", items[1].text(), items[1].Type)
	}
	e, err := items[2].ToEvent()
	if err != nil || !bytes.Equal(e.Data, []byte{0, 0xff}) || items[2].Encoding != "base64" {
		t.Errorf("binary: %+v %v", items[2], err)
	}
}
