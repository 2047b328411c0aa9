package rest_test

import (
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// life is what a stream said until the server ended it, heartbeats left out.
type life struct {
	said []string
	code int
	took time.Duration
}

// live reads a stream to its end, as raw SSE, "push.v1" or "plain".
func (s *site) live(way, path, bearer string) (l life) {
	s.t.Helper()
	began := time.Now()
	say := func(what string) {
		if what != "push.heartbeat" {
			l.said = append(l.said, what)
		}
	}
	if way == "sse" {
		es := s.open(path, bearer)
		for e, err := es.dec.Next(); err == nil; e, err = es.dec.Next() {
			say(e.Name + " " + string(e.Data))
			var end closeData
			if e.Name == "push.close" && json.Unmarshal(e.Data, &end) == nil {
				l.code = end.Code
			}
		}
	} else {
		c, res := s.dial(path, bearer, "Sec-WebSocket-Protocol: "+way)
		if c == nil {
			s.t.Fatalf("WebSocket: %s", res.Status)
		}
		_, b, err := c.Read(c.ctx)
		for ; err == nil; _, b, err = c.Read(c.ctx) {
			var env wire.Envelope
			if json.Unmarshal(b, &env) != nil {
				say("message " + string(b))
			} else {
				say(env.Event + " " + strings.Trim(string(env.Data), `"`))
			}
		}
		l.code = int(websocket.CloseStatus(err))
	}
	for i, what := range l.said { // names of control events, and messages in full
		if name, _, _ := strings.Cut(what, " "); name != "message" {
			l.said[i] = name
		}
	}
	l.said = slices.DeleteFunc(l.said, func(what string) bool { return what == "push.heartbeat" })
	l.took = time.Since(began)
	return l
}

// Failure 57: who does not bring new credentials is told, and then out.
func TestStreamEndsWhenItsTokenExpires(t *testing.T) {
	for way, want := range map[string][]string{
		"sse": {"push.open", "push.expiring", "message last", "push.close"}, "push.v1": {"push.open", "push.expiring", "message last", "push.close"},
		"push.raw": {"message last"},
	} {
		signedIn(t, func(t *testing.T, s *site, i *issuer) {
			bearer := i.issue("ann", 2*time.Minute)
			time.AfterFunc(2*time.Minute-time.Millisecond, func() { s.publish("wall", "last") })
			time.AfterFunc(2*time.Minute, func() { s.publish("wall", "too late") })
			l := s.live(way, "/topics/wall", bearer)
			synctest.Wait() // until both are published
			if !slices.Equal(l.said, want) || l.code != push.CloseUnauthorized || l.took < 2*time.Minute || l.took > 2*time.Minute+time.Second {
				t.Errorf("%s said %q and ended with %d after %v, want %q and 3000 after 2 min", way, l.said, l.code, l.took, want)
			}
			s.expect(http.StatusUnauthorized, s.get("/topics/wall", bearer))
		})
	}
}

func TestStreamsSayWhenTheyExpire(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer, end := i.issue("ann", 2*time.Minute), time.Now().Add(2*time.Minute)
		es := s.open("/topics/wall", bearer)
		var open wire.OpenData
		if es.expect("push.open", &open); !open.Expires.Equal(end) {
			t.Errorf("push.open says %v, want %v", open.Expires, end)
		}
		for range 3 {
			es.expect("push.heartbeat", nil)
		}
		var soon wire.ExpiringData
		if es.expect("push.expiring", &soon); soon.In != 30_000 || !soon.Expires.Equal(end) || !time.Now().Equal(end.Add(-30*time.Second)) {
			t.Errorf("push.expiring says %+v at %v", soon, time.Now())
		}
		hour := time.Now().Add(time.Hour)
		long := s.open("/topics/wall", i.issue("ann", time.Hour))
		long.expect("push.open", nil)
		e := long.next()
		for e.Name == "push.heartbeat" {
			e = long.next()
		}
		if err := json.Unmarshal(e.Data, &soon); err != nil || e.Name != "push.expiring" || soon.In != 60_000 || !time.Now().Equal(hour.Add(-time.Minute)) {
			t.Errorf("%s says %s at %v", e.Name, e.Data, time.Now())
		}
		free := serveInMemory(t, rest.Config{}, &http.Server{})
		if a := free.open("/topics/wall").next(); strings.Contains(string(a.Data), "expires") {
			t.Errorf("push.open of a visitor says %s", a.Data)
		}
	})
}

func TestPollEndsWhenItsTokenExpires(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		got := <-s.poll("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=25", i.issue("ann", 5*time.Second))
		if got.took != 5*time.Second || got.StatusCode != http.StatusUnauthorized {
			t.Errorf("after %v: %d %s", got.took, got.StatusCode, got.body)
		}
	})
}

// New credentials on a live stream: no reconnect, and topics that they do not
// cover are gone.
func TestNewCredentialsOnALiveStream(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		first := i.issue("ann", 30*time.Second)
		es := s.follow("/events?topic=wall&topic=news&topic=chat/1", first)
		c := s.socket("/events?topic=wall&topic=news", first)
		es.expect("push.expiring", nil)
		c.expect("push.expiring", nil)
		fresh := i.issue("ann", 10*time.Minute, push.Sub("wall"), push.Sub("chat/**"))
		got := s.subscriptions(s.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", fresh))
		if !slices.Equal(got.Topics, []string{"wall", "chat/1"}) {
			t.Errorf("the stream goes on with %q", got.Topics)
		}
		if data := es.changed(); !slices.Equal(data.Topics, got.Topics) || data.Reason != "not granted any more" {
			t.Errorf("push.subscriptions says %+v", data)
		}
		r, before := c.act(`{"action":"credentials","token":"` + strings.TrimPrefix(fresh, "Authorization: Bearer ") + `"}`)
		if r.Problem != nil || len(before) > 1 {
			t.Errorf("by a message: %+v, after %+v", r, before)
		}
		if len(before) == 0 {
			c.expect("push.subscriptions", nil)
		}
		s.publish("news", "not any more")
		s.publish("wall", "1")
		es.messages("1")
		c.expect("message", nil)
		es.expect("push.heartbeat", nil) // past the end of the first token
		c.expect("push.heartbeat", nil)
		es.expect("push.heartbeat", nil)
		s.publish("wall", "2")
		es.messages("2")
	})
}

func TestCredentialsThatDoNotReplace(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		es := s.follow("/topics/wall", i.issue("ann", 10*time.Second))
		c := s.socket("/topics/wall", i.issue("ann", 10*time.Second))
		es.expect("push.expiring", nil)
		bob := i.issue("bob", 0)
		put := "/connections/" + es.cid + "/credentials"
		s.expect(http.StatusForbidden, s.do(http.MethodPut, put, "", bob)) // another subject's
		s.expect(http.StatusNotFound, s.do(http.MethodPut, "/connections/x/credentials", "", bob))
		s.expect(http.StatusNotFound, s.get("/connections/"+es.cid+"/subscriptions", bob))
		s.expect(http.StatusUnauthorized, s.do(http.MethodPut, put, ""))
		s.expect(http.StatusUnauthorized, s.do(http.MethodPut, put, "", "Authorization: Bearer made-up"))
		for token, want := range map[string]int{strings.TrimPrefix(bob, "Authorization: Bearer "): 403, "made-up": 401} {
			if r, _ := c.act(`{"action":"credentials","token":"` + token + `"}`); r.Problem == nil || r.Problem.Status != want {
				t.Errorf("by a message: %+v, want %d", r.Problem, want)
			}
		}
		i.mu.Lock()
		i.down = true
		i.mu.Unlock()
		if r, _ := c.act(`{"action":"credentials","token":"x"}`); r.Problem == nil || r.Problem.Status != 503 {
			t.Errorf("while the provider is down: %+v", r.Problem)
		}
		es.expect("push.close", nil) // none of them has helped
		c.expect("push.close", nil)
	})
}

// An expiry costs a timer, and no goroutine.
func TestStreamsExpireWithoutGoroutines(t *testing.T) {
	i := &issuer{}
	s := serve(t, rest.Config{Auth: i, PublicURL: "https://app.example.com", Limits: rest.Limits{Connections: -1}})
	s.asHost("app.example.com")
	i.issue("forever", 0)
	i.tokens["token-0"].Expires = time.Time{}
	added := func(bearer string) int {
		s.follow("/topics/wall", bearer) // whatever is made once
		before := runtime.NumGoroutine()
		for range 100 {
			s.follow("/topics/wall", bearer)
		}
		eventually(t, "the handlers return", func() bool { return runtime.NumGoroutine() <= before+300 })
		return runtime.NumGoroutine() - before
	}
	without, with := added("Authorization: Bearer token-0"), added(i.issue("ann", time.Hour))
	if with > without+20 {
		t.Errorf("100 streams that expire take %d goroutines, 100 that do not %d", with, without)
	}
}
