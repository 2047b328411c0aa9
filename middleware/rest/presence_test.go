package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// rooms is a mount where people can see each other in rooms. The header User
// says who somebody is.
func rooms() rest.Config {
	return rest.Config{
		Presence: rest.Presence{
			Topics: []string{"room/*"},
			Info:   func(who *rest.Principal) any { return map[string]string{"name": strings.ToUpper(who.Subject)} },
		},
		Auth: rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
			grants := []push.Grant{push.Sub("**"), push.Pub("**")}
			if r.Header.Get("May") != "not see" {
				grants = append(grants, push.Presence("room/*"))
			}
			if r.Header.Get("May") == "not enter" {
				grants = []push.Grant{push.Sub("hall")}
			}
			return &rest.Principal{Subject: r.Header.Get("User"), Grants: grants}, nil
		}),
	}
}

// present returns the names of who is in a room.
func (s *site) present(room string) (ids []string) {
	s.t.Helper()
	a := s.do(http.MethodGet, "/presence/"+room, "", bob)
	s.expect(http.StatusOK, a)
	var res struct {
		Members  []rest.Member
		Total    int
		Position string
	}
	s.decode(a, &res)
	for _, m := range res.Members {
		ids = append(ids, m.ID)
	}
	if _, err := push.ParseID(res.Position); err != nil || res.Total != len(ids) {
		s.t.Errorf("%s: %s", a.what, a.body)
	}
	slices.Sort(ids)
	return ids
}

// comings returns what was published about a room: "+ann" and "-ann".
func comings(t testing.TB, hub *push.Hub, room string) (all []string) {
	t.Helper()
	p, err := hub.History(context.Background(), push.Query{Topics: []string{"$presence/" + room}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Events {
		var m rest.Member
		if err := json.Unmarshal(e.Data, &m); err != nil || e.ContentType != typeJSON {
			t.Fatalf("%s %s", e.ContentType, e.Data)
		}
		all = append(all, map[string]string{"push.join": "+", "push.leave": "-"}[e.Name]+m.ID)
	}
	return all
}

// enter opens a stream that is read until it is closed: who does not read is
// given up.
func (s *site) enter(path string, headers ...string) *eventSource {
	s.t.Helper()
	es := s.follow(path, headers...)
	go func() { _, _ = io.Copy(io.Discard, es.Body) }()
	return es
}

// lastComing returns when the newest event about a room was published.
func lastComing(t testing.TB, hub *push.Hub, room string) time.Time {
	t.Helper()
	p, err := hub.History(context.Background(), push.Query{Topics: []string{"$presence/" + room}, Limit: 1, Latest: true})
	if err != nil || len(p.Events) != 1 {
		t.Fatalf("%v %v", p.Events, err)
	}
	return p.Events[0].Time
}

func (es *eventSource) member(name string) (m rest.Member) {
	es.t.Helper()
	es.expect(name, &m)
	return m
}

func TestJoinAndLeaveAreToldOnce(t *testing.T) {
	inBubble(t, rooms, func(t *testing.T, s *site) {
		watcher := s.follow("/topics/$presence/room/1", bob)
		first := s.enter("/topics/room/1", ann)
		if m := watcher.member("push.join"); m.ID != "ann" || string(m.Info) != `{"name":"ANN"}` {
			t.Errorf("push.join %+v", m)
		}
		second := s.socket("/events?topic=room/1&topic=hall", ann)
		go func() {
			for _, _, err := second.Read(second.ctx); err == nil; _, _, err = second.Read(second.ctx) {
			}
		}()
		visitor := s.enter("/topics/room/1")
		unknown := watcher.member("push.join").ID
		if unknown == "" || unknown == visitor.cid {
			t.Errorf("a visitor is called %q: it must have a name, but not that of its connection, which is a capability", unknown)
		}
		if got, want := s.present("room/1"), []string{"ann", unknown}; len(got) != 2 || !slices.Contains(got, want[0]) || !slices.Contains(got, want[1]) {
			t.Errorf("there are %v, want %v", got, want)
		}
		watcher.close()
		first.close()
		time.Sleep(time.Minute)
		_ = second.CloseNow()
		synctest.Wait()
		left := time.Now()
		time.Sleep(11 * time.Second)
		if d := lastComing(t, s.hub, "room/1").Sub(left); d != 10*time.Second {
			t.Errorf("push.leave after %v, want it after the 10 s in which she might have come back", d)
		}
		watcher = s.follow("/topics/$presence/room/1?last=1", bob)
		if m := watcher.member("push.leave"); m.ID != "ann" {
			t.Errorf("%s has left", m.ID)
		}
		if got := s.present("room/1"); !slices.Equal(got, []string{unknown}) {
			t.Errorf("there are %v", got)
		}
		visitor.close()
		watcher.member("push.leave")
		if got := comings(t, s.hub, "room/1"); !slices.Equal(got, []string{"+ann", "+" + unknown, "-ann", "-" + unknown}) {
			t.Errorf("in all: %v", got)
		}
	})
}

func TestReconnectWithinTheGraceIsNobodysBusiness(t *testing.T) {
	inBubble(t, rooms, func(t *testing.T, s *site) {
		cfg := rooms()
		cfg.Hub = s.hub
		other := serveInMemory(t, cfg, &http.Server{})
		sites := []*site{s, other}
		es := s.enter("/topics/room/1", ann)
		for i := range 10 { // to and fro between two nodes
			es.close()
			time.Sleep(9 * time.Second)
			es = sites[i%2].enter("/topics/room/1", ann)
		}
		time.Sleep(time.Minute)
		if got := comings(t, s.hub, "room/1"); !slices.Equal(got, []string{"+ann"}) {
			t.Errorf("told were %v", got)
		}
		for _, s := range sites {
			if got := s.present("room/1"); !slices.Equal(got, []string{"ann"}) {
				t.Errorf("there are %v", got)
			}
		}
		es.close()
		time.Sleep(time.Minute)
		if got := comings(t, s.hub, "room/1"); !slices.Equal(got, []string{"+ann", "-ann"}) {
			t.Errorf("told were %v", got)
		}
	})
}

func TestWhoIsThere(t *testing.T) {
	inBubble(t, rooms, func(t *testing.T, s *site) {
		there := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := s.present("room/1"); !slices.Equal(got, want) {
				t.Errorf("%s: there are %v, want %v", what, got, want)
			}
		}
		s.enter("/events?topic=room/*&topic=**", ann)
		there("by a pattern only")
		es := s.enter("/topics/hall", ann)
		s.subscriptions(s.patch(es.cid, `{"add":["room/1"]}`, ann))
		there("a topic was added", "ann")
		s.subscriptions(s.patch(es.cid, `{"remove":["room/1"]}`, ann))
		time.Sleep(10 * time.Second)
		there("the topic was removed")
		s.subscriptions(s.patch(es.cid, `{"add":["room/1","room/2"]}`, ann))
		s.subscriptions(s.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", ann, "May: not enter"))
		time.Sleep(10 * time.Second)
		there("the new credentials do not cover the room")
		<-s.poll("/topics/room/1?after=0", "Prefer: wait=5")
		there("a visitor's poll is over, and the next would be somebody else")
		for range 5 { // with pauses, as polls have
			if <-s.poll("/topics/room/1?after="+s.hub.Position().String(), "Prefer: wait=5", ann); len(s.present("room/1")) != 1 {
				t.Error("a subject that polls is not there")
			}
			time.Sleep(3 * time.Second)
		}
		time.Sleep(8 * time.Second)
		there("the polls are over")
		s.get("/topics/room/1", ann)
		there("a page is no connection")
		if log := s.log.String(); strings.Contains(log, "presence") {
			t.Errorf("the log: %s", log)
		}
	})
}

func TestPresenceTakesItsOwnGrant(t *testing.T) {
	inBubble(t, rooms, func(t *testing.T, s *site) {
		es := s.follow("/topics/room/1", ann, "May: not see")
		for _, a := range []answer{
			s.get("/presence/room/1", "May: not see"), s.get("/presence/hall"), s.get("/topics/$presence/room/1", "May: not see"),
			s.get("/events?topic=$presence/room/*", "May: not see"), s.get("/events?topic=$presence/**"),
			s.patch(es.cid, `{"add":["$presence/room/1"]}`, ann, "May: not see"),
			s.patch(es.cid, `{"add":["$presence/room/1"]}`, ann), // the stream's own credentials do not cover it
			s.post("/tickets", `{"topics":["$presence/room/1"]}`, ann, "May: not see"),
		} {
			if detail := s.expect(http.StatusForbidden, a); !strings.Contains(detail, "is there") && !strings.Contains(detail, "reading") {
				t.Errorf("%s: %q", a.what, detail)
			}
		}
		all := s.follow("/events?topic=**&topic=*/room/1", ann, "May: not see")
		s.follow("/topics/room/1", "User: carol")
		s.publish("room/1", "said")
		all.messages("said") // and no push.join
		if p := s.page("/events?topic=**", "May: not see"); len(p.Items) != 1 {
			t.Errorf("a pattern shows %d events, want the message only", len(p.Items))
		}
		synctest.Wait()
		if p := s.page("/topics/$presence/room/1", bob); len(p.Items) != 2 || p.Items[0].Event != "push.join" {
			t.Errorf("the history of joins: %+v", p.Items)
		}
		var ticket struct{ Ticket string }
		s.decode(s.post("/tickets", `{"topics":["$presence/room/1"]}`, ann), &ticket)
		s.follow("/topics/$presence/room/1?last=1&ticket=" + ticket.Ticket).member("push.join")
	})
}

func TestNobodyPublishesPresence(t *testing.T) {
	inBubble(t, rooms, func(t *testing.T, s *site) {
		c := s.socket("/topics/room/1", ann)
		s.expect(http.StatusBadRequest, s.post("/topics/$presence/room/1", `{"id":"eve"}`, "Content-Type: application/json"))
		for _, a := range []answer{s.post("/topics/$push/x", "x"), s.get("/topics/$push/x"), s.get("/events?topic=$push/**"), s.get("/topics/$presence"),
			s.get("/presence/$presence/room/1"), s.get("/presence/room/*"), s.get("/presence/room%2F1"), s.get("/presence/room//1")} {
			s.expect(http.StatusBadRequest, a)
		}
		if r, _ := c.act(`{"action":"publish","topic":"$presence/room/1","data":{"id":"eve"}}`); r.Problem == nil || r.Problem.Status != http.StatusBadRequest {
			t.Errorf("%+v", r)
		}
		synctest.Wait()
		if got := comings(t, s.hub, "room/1"); !slices.Equal(got, []string{"+ann"}) {
			t.Errorf("told were %v", got)
		}
	})
}

func TestPresenceIsOffUnlessAskedFor(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("**"), push.Presence("**"))})
	s.follow("/topics/room/1")
	s.expect(http.StatusNotFound, s.get("/presence/room/1"))
	s.expect(http.StatusBadRequest, s.get("/topics/$presence/room/1"))
	on := serve(t, rooms())
	on.expect(http.StatusForbidden, on.get("/presence/hall"))
	long := "room/" + strings.Repeat("x", push.MaxTopicLen-5) // its $presence/… would be no topic
	on.follow("/topics/" + long)
	on.expect(http.StatusNotFound, on.get("/presence/"+long))
	if _, err := rest.New(rest.Config{Hub: push.New(), Auth: everybody, Presence: rest.Presence{Topics: []string{"a//b"}}}); err == nil {
		t.Error("presence of a//b was taken")
	}
}

// A visitor is a new member with each connection: the log of joins must not be
// anybody's to flood.
func TestVisitorsOfOneAddressCannotFloodPresence(t *testing.T) {
	cfg := rooms()
	cfg.Limits.AddressMessages = 1 // 4 at once
	inBubble(t, func() rest.Config { return cfg }, func(t *testing.T, s *site) {
		s.from()
		for range 10 {
			s.enter("/topics/room/1", "Peer: 192.0.2.1:1")
		}
		s.enter("/topics/room/1", ann, "Peer: 192.0.2.1:1")
		synctest.Wait()
		if got := s.present("room/1"); len(got) != 5 || !slices.Contains(got, "ann") {
			t.Errorf("there are %v, want 4 visitors and ann", got)
		}
	})
}

func TestManyMembersComeInPages(t *testing.T) {
	inBubble(t, rooms, func(t *testing.T, s *site) {
		want := map[string]bool{}
		for i := range 25 {
			name := fmt.Sprintf("user%d", i)
			want[name] = true
			s.enter("/topics/room/1", "User: "+name)
		}
		synctest.Wait()
		pages := 0
		for path := "/presence/room/1?limit=10"; path != ""; pages++ {
			a := s.do(http.MethodGet, path, "", bob)
			s.expect(http.StatusOK, a)
			var res struct {
				Members []rest.Member
				Total   int
			}
			s.decode(a, &res)
			for _, m := range res.Members {
				if !want[m.ID] || res.Total != 25 {
					t.Errorf("%s of %d comes twice, or is not there", m.ID, res.Total)
				}
				delete(want, m.ID)
			}
			link, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "</push"), ">")
			path = link
		}
		if pages != 3 || len(want) > 0 {
			t.Errorf("%d pages, not shown: %v", pages, want)
		}
	})
}
