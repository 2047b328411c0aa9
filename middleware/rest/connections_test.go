package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// subscriptions is what the twins answer with.
type subscriptions struct {
	Topics   []string
	Position string
	Items    []item
}

func (s *site) subscriptions(a answer) (res subscriptions) {
	s.t.Helper()
	s.expect(http.StatusOK, a)
	s.decode(a, &res)
	if _, err := push.ParseID(res.Position); err != nil {
		s.t.Errorf("%s: position %q", a.what, res.Position)
	}
	return res
}

func (s *site) patch(cid, body string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPatch, "/connections/"+cid+"/subscriptions", body, headers...)
}

// changed reads a push.subscriptions.
func (es *eventSource) changed() (data push.SubscriptionsData) {
	es.t.Helper()
	es.expect("push.subscriptions", &data)
	return data
}

func TestTopicsAreAddedAndRemovedOnALiveStream(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("news", "old")
	es := s.follow("/topics/wall")
	head := s.publish("wall", "1")[0].String()
	es.messages("1")
	added := s.subscriptions(s.patch(es.cid, `{"add":["news","rooms/*"]}`))
	if !slices.Equal(added.Topics, []string{"wall", "news", "rooms/*"}) || added.Position != head {
		t.Errorf("added: %+v, want three topics from %s on", added, head)
	}
	if data := es.changed(); !slices.Equal(data.Topics, added.Topics) || data.Reason == "" {
		t.Errorf("push.subscriptions: %+v", data)
	}
	s.publish("news", "new")
	s.publish("rooms/1", "in")
	es.messages("new", "in") // and not the old one
	if removed := s.subscriptions(s.patch(es.cid, `{"remove":["wall","never there"]}`)); !slices.Equal(removed.Topics, []string{"news", "rooms/*"}) {
		t.Errorf("removed: %v", removed.Topics)
	}
	es.changed()
	s.publish("wall", "2")
	s.publish("news", "newer")
	es.messages("newer")
}

func TestAddedTopicStartsAtTheStatedPosition(t *testing.T) {
	s := serve(t, rest.Config{})
	es := s.follow("/topics/wall")
	const n = 200
	var ids [n]push.ID
	done := make(chan bool)
	go func() {
		defer close(done)
		for i := range n {
			id, err := s.hub.Publish(context.Background(), push.Event{Topic: "news", Data: fmt.Append(nil, i)})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = id[0]
		}
	}()
	at, err := push.ParseID(s.subscriptions(s.patch(es.cid, `{"add":["news"]}`)).Position)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	es.changed()
	for i := range n {
		if ids[i].Seq <= at.Seq {
			continue
		}
		if e := es.messages(fmt.Sprint(i)); e.ID != ids[i].String() {
			t.Fatalf("event %s, want %v: all after %v and none before it", e.ID, ids[i], at)
		}
	}
}

func TestPatchIsAllOrNothing(t *testing.T) {
	s := serve(t, rest.Config{MaxTopics: 4, Auth: rest.Public(push.Sub("wall"), push.Sub("rooms/*"))})
	es := s.follow("/topics/wall")
	for body, status := range map[string]int{
		`{"add":["rooms/1","secret","rooms/2","other/*"]}`:      http.StatusForbidden,
		`{"add":["rooms/1","a//b"]}`:                            http.StatusBadRequest,
		`{"add":["rooms/1","$presence/wall"]}`:                  http.StatusBadRequest,
		`{"add":["rooms/1","u\u0308"]}`:                         http.StatusBadRequest,
		`{"add":["rooms/1","rooms/2","rooms/3","rooms/4"]}`:     http.StatusBadRequest,
		`{"add":["rooms/1"],"remove":["wall"],"replace":["x"]}`: http.StatusBadRequest,
		`{"add":["rooms/1",2]}`:                                 http.StatusBadRequest,
		`{"add":"rooms/1"}`:                                     http.StatusBadRequest,
		`["rooms/1"]`:                                           http.StatusBadRequest,
		`{"add":["rooms/1"]`:                                    http.StatusBadRequest,
		`{"add":["rooms/1"]} {"add":["rooms/2"]}`:               http.StatusBadRequest,
		``: http.StatusBadRequest,
	} {
		detail := s.expect(status, s.patch(es.cid, body))
		if status == http.StatusForbidden && (!strings.Contains(detail, "secret") || !strings.Contains(detail, "other/*") || strings.Contains(detail, "rooms/1")) {
			t.Errorf("403 says %q, want what is denied and nothing else", detail)
		}
	}
	if now := s.subscriptions(s.get("/connections/" + es.cid + "/subscriptions")); !slices.Equal(now.Topics, []string{"wall"}) {
		t.Errorf("after refusals: %v", now.Topics)
	}
	s.publish("rooms/1", "x")
	s.publish("wall", "1")
	es.messages("1") // nothing else, and no push.subscriptions
}

func TestLimitOfTopicsCountsWhatThereWillBe(t *testing.T) {
	s := serve(t, rest.Config{MaxTopics: 2})
	es := s.follow("/events?topic=a&topic=b")
	for _, body := range []string{`{"add":["c"],"remove":["a"]}`, `{"add":["b","c"]}`, `{"add":["a","a"],"remove":["b","b"]}`} {
		if n := len(s.subscriptions(s.patch(es.cid, body)).Topics); n != 2 {
			t.Errorf("%s: %d topics", body, n)
		}
	}
	s.expect(http.StatusBadRequest, s.patch(es.cid, `{"add":["x"]}`))
}

func TestIfMatchGuardsAgainstLostUpdates(t *testing.T) {
	s := serve(t, rest.Config{})
	es := s.follow("/topics/wall")
	first := s.get("/connections/" + es.cid + "/subscriptions")
	etag := first.Header.Get("Etag")
	if len(etag) < 3 || etag[0] != '"' {
		t.Fatalf("ETag %q is not a strong one", etag)
	}
	second := s.patch(es.cid, `{"add":["a"]}`, "If-Match: "+etag)
	s.expect(http.StatusOK, second)
	if second.Header.Get("Etag") == etag {
		t.Error("the ETag is the same with other topics")
	}
	s.expect(http.StatusPreconditionFailed, s.patch(es.cid, `{"add":["b"]}`, "If-Match: "+etag))
	s.expect(http.StatusOK, s.patch(es.cid, `{"add":["b"]}`, `If-Match: "x", `+second.Header.Get("Etag")))
	s.expect(http.StatusOK, s.patch(es.cid, `{"add":["c"]}`, "If-Match: *"))
	s.expect(http.StatusPreconditionFailed, s.patch(es.cid, `{"add":["d"]}`, "If-Match: garbage"))
}

func TestIfMatchRacedByManyLetsOneThrough(t *testing.T) {
	s := serve(t, rest.Config{MaxTopics: 1000})
	var many strings.Builder // to have the check take its time
	for i := range 800 {
		fmt.Fprintf(&many, "&topic=%s/%d", strings.Repeat("x", 100), i)
	}
	for round := range 5 {
		es := s.follow("/events?" + many.String())
		etag := s.get("/connections/" + es.cid + "/subscriptions").Header.Get("Etag")
		var won atomic.Int32
		var wg sync.WaitGroup
		start := make(chan bool)
		for i := range 16 {
			body := fmt.Sprintf(`{"add":["race/%d"]}`, i)
			req := s.request(t.Context(), http.MethodPatch, "/connections/"+es.cid+"/subscriptions", body, "If-Match: "+etag)
			wg.Go(func() {
				<-start
				w := httptest.NewRecorder()
				if s.Config.Handler.ServeHTTP(w, req); w.Code == http.StatusOK {
					won.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of 16 requests with the same If-Match went through", round, won.Load())
		}
		es.close()
	}
}

func TestConnectionOfSomebodyElseDoesNotExist(t *testing.T) {
	s := serve(t, rest.Config{Auth: who})
	anns, nobodys := s.follow("/topics/wall", "User: ann"), s.follow("/topics/wall")
	for _, c := range []struct{ cid, user string }{
		{anns.cid, "bob"}, {anns.cid, ""}, {nobodys.cid, "ann"}, {"made-up", "ann"}, {"made-up", ""}, {"%2e%2e", ""}, {strings.Repeat("x", 10000), ""}, {"", ""},
	} {
		for _, do := range []struct{ method, what, body string }{
			{http.MethodGet, "/subscriptions", ""}, {http.MethodPatch, "/subscriptions", `{"add":["a"]}`}, {http.MethodPut, "/credentials", ""},
			{http.MethodPost, "/messages", `{"action":"subscribe","topics":["a"]}`}, {http.MethodDelete, "", ""},
		} {
			want := http.StatusNotFound
			if do.method == http.MethodPut && (c.cid == anns.cid || c.cid == nobodys.cid) {
				want = http.StatusForbidden // a page whose visitor has logged in anew is told so
			}
			s.expect(want, s.do(do.method, "/connections/"+c.cid+do.what, do.body, "User: "+c.user))
		}
	}
	s.expect(http.StatusOK, s.get("/connections/"+anns.cid+"/subscriptions", "User: ann"))
	s.expect(http.StatusOK, s.get("/connections/"+nobodys.cid+"/subscriptions")) // the name is the capability
	s.publish("wall", "1")
	anns.messages("1")
	nobodys.messages("1")
}

func TestConnectionNamesAreNotGuessable(t *testing.T) {
	s := serve(t, rest.Config{})
	seen := map[string]bool{}
	for range 20 {
		es := s.follow("/topics/wall")
		if len(es.cid) < 22 || seen[es.cid] {
			t.Fatalf("connection %q", es.cid)
		}
		seen[es.cid] = true
		es.close()
	}
}

func TestMessagesTwinDoesWhatAFrameDoes(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("**"), push.Pub("wall"), push.Pub("rooms/*"))})
	s.publish("rooms/1", numbers(0, 5)...)
	es := s.follow("/topics/wall")
	act := func(body string) answer { return s.post("/connections/"+es.cid+"/messages", body) }

	res := s.subscriptions(act(`{"action":"subscribe","topics":["rooms/1"],"last":2}`))
	if !slices.Equal(res.Topics, []string{"wall", "rooms/1"}) || len(res.Items) != 2 || res.Items[0].text() != "3" || res.Items[1].text() != "4" {
		t.Errorf("subscribe with last: %+v", res)
	}
	es.changed()
	var published struct{ ID string }
	s.decode(act(`{"action":"publish","event":"post","data":{"text":"hi"}}`), &published)
	if e := es.expect("post", nil); e.ID != published.ID || string(e.Data) != `{"text":"hi"}` {
		t.Errorf("publish without a topic: %s %s, want %s", e.ID, e.Data, published.ID)
	}
	s.decode(act(`{"action":"publish","topic":"rooms/1","type":"text/plain","data":"hi","idem":"k"}`), &published)
	first := published.ID
	s.decode(act(`{"action":"publish","topic":"rooms/1","type":"text/plain","data":"hi","idem":"k"}`), &published)
	if e := es.messages("hi"); e.ID != first || published.ID != first {
		t.Errorf("publish twice with one key: %s and %s on the stream %s", first, published.ID, e.ID)
	}
	if res := s.subscriptions(act(`{"action":"unsubscribe","topics":["wall"]}`)); !slices.Equal(res.Topics, []string{"rooms/1"}) {
		t.Errorf("unsubscribe: %v", res.Topics)
	}
	for body, status := range map[string]int{
		`{"action":"publish","topic":"secret","data":1}`: 403, `{"action":"publish","topic":"a//b","data":1}`: 400,
		`{"action":"publish","topic":"rooms/*","data":1}`:       400,
		`{"action":"publish","topic":"rooms/u\u0308","data":1}`: 400, `{"action":"publish","event":"push.x","data":1}`: 422, `{"action":"publish"}`: 400,
		`{"action":"publish","type":"text/plain","data":1}`: 400, `{"action":"subscribe","topics":[]}`: 400, `{"action":"subscribe","topics":["$x"]}`: 400,
		`{"action":"credentials","token":"x"}`: 501, `{"action":"dance"}`: 400, `[]`: 400, `x`: 400, ``: 400,
	} {
		s.expect(status, act(body))
	}
}

func TestMessagesTwinOfManyTopicsNeedsATopic(t *testing.T) {
	s := serve(t, rest.Config{})
	es := s.follow("/events?topic=a&topic=b")
	if detail := s.expect(http.StatusBadRequest, s.post("/connections/"+es.cid+"/messages", `{"action":"publish","data":1}`)); !strings.Contains(detail, "topic") {
		t.Errorf("%q", detail)
	}
}

func TestInboundHandlerSeesTheConnectionOfATwin(t *testing.T) {
	hub := push.New()
	var in push.Inbound
	hub.Handle("**", func(_ context.Context, i *push.Inbound) error { in = *i; return nil })
	s := serve(t, rest.Config{Hub: hub, Auth: who})
	es := s.follow("/topics/wall", "User: ann")
	s.expect(http.StatusOK, s.post("/connections/"+es.cid+"/messages", `{"action":"publish","data":1}`, "User: ann"))
	if in.ConnID != es.cid || in.Subject != "ann" {
		t.Errorf("the handler saw %+v", in)
	}
}

func TestFramesAndTwinsWorkOnOneWebSocket(t *testing.T) {
	s := serve(t, rest.Config{})
	c := s.socket("/topics/wall")
	if r, _ := c.act(`{"action":"subscribe","ref":"1","topics":["a"]}`); r.Problem != nil || !slices.Equal(r.Topics, []string{"wall", "a"}) {
		t.Errorf("frame: %+v", r)
	}
	if res := s.subscriptions(s.patch(c.cid, `{"add":["b"]}`)); !slices.Equal(res.Topics, []string{"wall", "a", "b"}) {
		t.Errorf("twin: %v", res.Topics)
	}
	s.publish("b", "x")
	for env := c.next(); env.Event != "message"; env = c.next() {
		if env.Event != "push.subscriptions" {
			t.Fatalf("%s %s", env.Event, env.Data)
		}
	}
}

// tokens is an Auth in which the header Token says what ann may do.
var tokens = rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
	p := &rest.Principal{Subject: "ann"}
	for topic := range strings.FieldsSeq(r.Header.Get("Token")) {
		p.Grants = append(p.Grants, push.Sub(topic), push.Pub(topic))
	}
	return p, nil
})

func TestFreshCredentialsRemoveWhatTheyDoNotCover(t *testing.T) {
	s := serve(t, rest.Config{Auth: tokens})
	es := s.follow("/events?topic=wall&topic=news&topic=rooms/*", "Token: **")
	credentials := "/connections/" + es.cid + "/credentials"
	if res := s.subscriptions(s.do(http.MethodPut, credentials, "", "Token: wall rooms/**")); !slices.Equal(res.Topics, []string{"wall", "rooms/*"}) {
		t.Errorf("topics after the swap: %v", res.Topics)
	}
	if data := es.changed(); !slices.Equal(data.Topics, []string{"wall", "rooms/*"}) || !strings.Contains(data.Reason, "granted") {
		t.Errorf("push.subscriptions: %+v", data)
	}
	s.publish("news", "secret")
	s.publish("wall", "1")
	es.messages("1")
	for _, token := range []string{"wall", "**"} { // also not with the old one
		s.expect(http.StatusForbidden, s.patch(es.cid, `{"add":["news"]}`, "Token: "+token))
	}
	s.subscriptions(s.do(http.MethodPut, credentials, "", "Token: **")) // nothing to remove, nothing to announce
	s.publish("wall", "2")
	es.messages("2")
}

func TestFreshCredentialsHoldForFrames(t *testing.T) {
	s := serve(t, rest.Config{Auth: tokens})
	c := s.socket("/topics/wall", "Token: **")
	s.subscriptions(s.do(http.MethodPut, "/connections/"+c.cid+"/credentials", "", "Token: wall"))
	if r, _ := c.act(`{"action":"publish","topic":"news","data":1}`); r.Problem == nil || r.Problem.Status != http.StatusForbidden {
		t.Errorf("publish with what is not granted any more: %+v", r)
	}
	if r, _ := c.act(`{"action":"subscribe","topics":["news"]}`); r.Problem == nil || r.Problem.Status != http.StatusForbidden {
		t.Errorf("subscribe to what is not granted any more: %+v", r)
	}
	if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem != nil {
		t.Errorf("publish with what is granted: %+v", r.Problem)
	}
}

func TestDeleteEndsTheStreamForGood(t *testing.T) {
	s := serve(t, rest.Config{})
	es, c := s.follow("/topics/wall"), s.socket("/topics/wall")
	plain := s.plain("/topics/wall")
	s.publish("wall", "1")
	es.messages("1")
	c.expect("message", nil)
	for _, cid := range []string{es.cid, c.cid} {
		a := s.do(http.MethodDelete, "/connections/"+cid, "")
		if s.expect(http.StatusNoContent, a); a.body != "" {
			t.Errorf("204 with %q", a.body)
		}
	}
	var end closeData
	if es.expect("push.close", &end); end.Code != push.CloseForbidden || end.Retry != 0 {
		t.Errorf("push.close %+v, want 3003: the client stays away", end)
	}
	es.ended()
	env := c.expect("push.close", nil)
	if err := json.Unmarshal(env.Data, &end); err != nil || end.Code != push.CloseForbidden {
		t.Errorf("push.close %s", env.Data)
	}
	if code, _ := c.closed(); code != push.CloseForbidden {
		t.Errorf("the WebSocket closed with %d", code)
	}
	if _, b, err := plain.Read(plain.ctx); err != nil || string(b) != "1" {
		t.Errorf("another connection: %s %v", b, err)
	}
}

func TestConnectionThatEndedIs404(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		es := s.follow("/topics/wall")
		s.expect(http.StatusNoContent, s.do(http.MethodDelete, "/connections/"+es.cid, ""))
		es.expect("push.close", nil)
		es.ended()
		es.close()
		synctest.Wait()
		s.expect(http.StatusNotFound, s.get("/connections/"+es.cid+"/subscriptions"))
	})
}
