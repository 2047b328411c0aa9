package rest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// retryAfter checks a 429 and returns what it says.
func (s *site) retryAfter(a answer) time.Duration {
	s.t.Helper()
	s.expect(http.StatusTooManyRequests, a)
	n, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || n < 1 {
		s.t.Fatalf("%s: 429 with Retry-After %q", a.what, a.Header.Get("Retry-After"))
	}
	return time.Duration(n) * time.Second
}

// told checks that an SSE stream is told to come back.
func (s *site) told(path string, headers ...string) (end closeData) {
	s.t.Helper()
	es := s.open(path, headers...)
	if es.expect("push.close", &end); es.StatusCode != http.StatusOK || end.Code != push.CloseOverload || end.Retry < 1 {
		s.t.Errorf("%s %v: status %d, push.close %+v", path, headers, es.StatusCode, end)
	}
	es.ended()
	return end
}

const ann, bob = "User: ann", "User: bob"

func TestConnectionsOfOneSubjectAreLimited(t *testing.T) {
	inBubble(t, func() rest.Config { return rest.Config{Auth: who, Limits: rest.Limits{Connections: 3}} }, func(t *testing.T, s *site) {
		es := s.follow("/topics/wall", ann)
		s.follow("/topics/news", ann)
		c := s.socket("/topics/wall", ann)
		if end := s.told("/topics/wall", ann); !strings.Contains(end.Reason, "3 connections") {
			t.Errorf("the fourth stream is told %q", end.Reason)
		}
		s.retryAfter(s.get("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=5", ann))
		if c, res := s.dial("/topics/wall", ann); c != nil || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
			t.Errorf("the fourth WebSocket: %v", res)
		}
		s.expect(http.StatusOK, s.get("/topics/wall", ann)) // pages are no connections
		s.follow("/topics/wall", bob)
		for range 5 { // visitors have no subject
			s.follow("/topics/wall")
		}
		es.close()
		synctest.Wait()
		s.follow("/topics/wall", ann)
		s.told("/topics/wall", ann)
		_ = c.CloseNow()
		synctest.Wait()
		if a := <-s.poll("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=5", ann); a.StatusCode != http.StatusOK {
			t.Errorf("a poll in place of the WebSocket that was closed: %d", a.StatusCode)
		}
		s.follow("/topics/wall", ann) // the poll is over
	})
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	s := serve(t, rest.Config{Limits: rest.Limits{AddressConnections: 1}})
	s.from()
	for _, peer := range []string{"192.0.2.1:5", "192.0.2.2:5", "[2001:db8:0:1::1]:5", "[2001:db8:0:2::1]:5"} {
		s.follow("/topics/wall", "Peer: "+peer)
	}
	for _, same := range []string{"192.0.2.1:6", "[::ffff:192.0.2.1]:5", "[2001:db8:0:1:ffff::7]:5", "[2001:db8:0:2::1%eth0]:5"} {
		s.told("/topics/wall", "Peer: "+same)
	}
	for _, local := range []string{"127.0.0.1:5", "[::1]:5", "@"} {
		s.follow("/topics/wall", "Peer: "+local)
		s.follow("/topics/wall", "Peer: "+local)
	}
}

func TestMessagesOfOneSubjectAreLimited(t *testing.T) {
	config := func() rest.Config { return rest.Config{Auth: who, Limits: rest.Limits{Messages: 5}} }
	inBubble(t, config, func(t *testing.T, s *site) {
		c, es := s.socket("/topics/wall", ann), s.follow("/topics/other", ann)
		for i := range 18 { // by request, by frame and by twin: one bucket of 20
			switch i % 3 {
			case 0:
				s.published(s.post("/topics/wall", "x", ann))
			case 1:
				if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem != nil {
					t.Fatalf("message %d: %+v", i, r.Problem)
				}
			case 2:
				s.expect(http.StatusOK, s.post("/connections/"+es.cid+"/messages", `{"action":"publish","topic":"wall","data":1}`, ann))
			}
		}
		s.subscriptions(s.patch(es.cid, `{"add":["more"]}`, ann))
		s.subscriptions(s.get("/connections/"+es.cid+"/subscriptions", ann))
		if wait := s.retryAfter(s.post("/topics/wall", "x", ann)); wait != time.Second {
			t.Errorf("Retry-After %v, want the second in which there is a token", wait)
		}
		s.retryAfter(s.patch(es.cid, `{"add":["even/more"]}`, ann))
		if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem == nil || r.Problem.Status != http.StatusTooManyRequests {
			t.Errorf("a frame too many: %+v", r)
		}
		s.published(s.post("/topics/wall", "x", bob))
		s.published(s.post("/topics/wall", "x"))
		s.expect(http.StatusOK, s.get("/topics/wall", ann)) // reading is not publishing
		time.Sleep(time.Second)
		for range 5 {
			s.published(s.post("/topics/wall", "x", ann))
		}
		s.retryAfter(s.post("/topics/wall", "x", ann))
	})
}

func TestMessagesOfOneAddressAreLimited(t *testing.T) {
	inBubble(t, func() rest.Config { return rest.Config{Limits: rest.Limits{AddressMessages: 1}} }, func(t *testing.T, s *site) {
		s.from()
		for i := range 4 {
			s.published(s.post("/topics/wall", "x", fmt.Sprintf("Peer: [2001:db8::%d]:5", i)))
		}
		s.retryAfter(s.post("/topics/wall", "x", "Peer: [2001:db8::ffff]:5"))
		s.published(s.post("/topics/wall", "x", "Peer: [2001:db8:1::1]:5"))
		for range 10 {
			s.published(s.post("/topics/wall", "x", "Peer: [::1]:5"))
		}
	})
}

func TestTicketsOfOneSubjectAreLimited(t *testing.T) {
	inBubble(t, func() rest.Config { return rest.Config{Auth: who, Limits: rest.Limits{Tickets: 2}} }, func(t *testing.T, s *site) {
		ticket := func(user string) answer { return s.post("/tickets", `{"topics":["wall"]}`, user) }
		s.expect(http.StatusCreated, ticket(ann))
		s.expect(http.StatusCreated, ticket(ann))
		if wait := s.retryAfter(ticket(ann)); wait != 30*time.Second {
			t.Errorf("Retry-After %v, want the 30 s of one ticket in 2 a minute", wait)
		}
		s.expect(http.StatusCreated, ticket(bob))
		time.Sleep(30 * time.Second)
		s.expect(http.StatusCreated, ticket(ann))
	})
}

func TestLimitsCanBeLifted(t *testing.T) {
	none := rest.Limits{Connections: -1, AddressConnections: -1, ConnectionMessages: -1, Messages: -1, AddressMessages: -1, Tickets: -1, AuthFailures: -1}
	inBubble(t, func() rest.Config { return rest.Config{Auth: who, Limits: none} }, func(t *testing.T, s *site) {
		s.from()
		c := s.socket("/topics/wall", ann, "Peer: 192.0.2.1:1")
		for range 1500 {
			if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem != nil {
				t.Fatalf("%+v", r.Problem)
			}
		}
		for range 70 {
			s.follow("/topics/other", ann, "Peer: 192.0.2.1:1")
		}
	})
}

func TestFailuresToAuthenticateShutAnAddressOut(t *testing.T) {
	asked := 0
	config := func() rest.Config {
		return rest.Config{Limits: rest.Limits{AuthFailures: 6}, Auth: rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
			asked++
			if r.Header.Get("User") == "ann" {
				return &rest.Principal{Subject: "ann", Grants: []push.Grant{push.Sub("**")}}, nil
			}
			return nil, &rest.Problem{Title: "Unauthorized", Status: http.StatusUnauthorized, Detail: "no"}
		})}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.from()
		const evil, other = "Peer: 192.0.2.1:1", "Peer: 192.0.2.2:1"
		for range 6 {
			s.expect(http.StatusUnauthorized, s.get("/topics/wall", evil))
		}
		if wait := s.retryAfter(s.get("/topics/wall", evil)); wait != 10*time.Second {
			t.Errorf("Retry-After %v, want the 10 s of one failure in 6 a minute", wait)
		}
		s.retryAfter(s.get("/topics/wall", evil, ann)) // nobody there is looked at
		s.told("/topics/wall", evil, ann)
		if asked != 6 {
			t.Errorf("Auth was asked %d times, want 6: it costs more than it may", asked)
		}
		s.expect(http.StatusNoContent, s.do(http.MethodOptions, "/topics/wall", "", evil))
		s.expect(http.StatusOK, s.get("/openapi.json", evil))
		s.expect(http.StatusOK, s.get("/topics/wall", other, ann))
		time.Sleep(10 * time.Second)
		s.expect(http.StatusOK, s.get("/topics/wall", evil, ann))
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", evil))
		s.retryAfter(s.get("/topics/wall", evil))
		for range 20 {
			s.expect(http.StatusUnauthorized, s.get("/topics/wall", "Peer: 127.0.0.1:1"))
		}
	})
}

func TestClientBehindProxies(t *testing.T) {
	proxied := func(header string) func(rest.Config) (*site, func(...string) string) {
		return func(cfg rest.Config) (*site, func(...string) string) {
			got := make(chan string, 1)
			cfg.TrustedProxies, cfg.ProxyHeader = []string{"10.0.0.0/8", "2001:db8:f::/48", "192.0.2.9", "unix"}, header
			cfg.OnOpen = func(c rest.Connection) { got <- c.ClientIP }
			s := serve(t, cfg)
			s.from()
			return s, func(headers ...string) string {
				s.follow("/topics/wall", headers...)
				return <-got
			}
		}
	}
	const proxy = "Peer: 10.0.0.1:5"
	_, xff := proxied("")(rest.Config{})
	_, forwarded := proxied("Forwarded")(rest.Config{})
	for _, c := range []struct {
		how     func(...string) string
		headers []string
		want    string
	}{
		{xff, []string{"Peer: 198.51.100.1:5", "X-Forwarded-For: 1.1.1.1"}, "198.51.100.1"}, // forged
		{xff, []string{proxy}, "10.0.0.1"},
		{xff, []string{proxy, "X-Forwarded-For: 203.0.113.7"}, "203.0.113.7"},
		{xff, []string{proxy, "X-Forwarded-For: 1.1.1.1, 203.0.113.7"}, "203.0.113.7"}, // what is to the left is made up
		{xff, []string{proxy, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 203.0.113.7"}, "203.0.113.7"},
		{xff, []string{proxy, "X-Forwarded-For: 1.1.1.1,203.0.113.7,10.3.3.3 , 192.0.2.9"}, "203.0.113.7"},
		{xff, []string{proxy, "X-Forwarded-For: 10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
		{xff, []string{proxy, "X-Forwarded-For: 203.0.113.7, unknown, 10.2.2.2"}, "10.2.2.2"},
		{xff, []string{proxy, "X-Forwarded-For: 203.0.113.7,"}, "10.0.0.1"},
		{xff, []string{proxy, "X-Forwarded-For: 203.0.113.7:4711"}, "203.0.113.7"},
		{xff, []string{proxy, "X-Forwarded-For: [2001:db8::7]:4711"}, "2001:db8::7"},
		{xff, []string{"Peer: [2001:db8:f::1]:5", "X-Forwarded-For: 2001:db8::7"}, "2001:db8::7"},
		{xff, []string{"Peer: [::ffff:10.0.0.1]:5", "X-Forwarded-For: ::ffff:203.0.113.7"}, "203.0.113.7"},
		{xff, []string{"Peer: @", "X-Forwarded-For: 203.0.113.7"}, "203.0.113.7"}, // on a Unix socket
		{xff, []string{proxy, "Forwarded: for=203.0.113.7"}, "10.0.0.1"},          // the header that the proxy does not write is the client's
		{forwarded, []string{proxy, "X-Forwarded-For: 203.0.113.7"}, "10.0.0.1"},
		{forwarded, []string{proxy, "Forwarded: for=1.1.1.1, for=203.0.113.7;proto=https, For=\"10.1.1.1:5\";by=x"}, "203.0.113.7"},
		{forwarded, []string{proxy, `Forwarded: by=x;for="[2001:db8::7]:4711"`}, "2001:db8::7"},
		{forwarded, []string{proxy, "Forwarded: for=_hidden"}, "10.0.0.1"},
	} {
		if got := c.how(c.headers...); got != c.want {
			t.Errorf("%v: the client is %s, want %s", c.headers, got, c.want)
		}
	}
}

func TestProxyThatNobodyTrustsIsLoggedOnce(t *testing.T) {
	s := serve(t, rest.Config{})
	for range 3 {
		s.get("/topics/wall", "X-Forwarded-For: 192.0.2.1")
	}
	if log := s.log.String(); strings.Count(log, "TrustedProxies") != 2 { // once, in a sentence that names it twice
		t.Errorf("the log: %s", log)
	}
}
