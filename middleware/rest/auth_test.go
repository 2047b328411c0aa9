package rest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

func TestMisconfigurationSaysTheFix(t *testing.T) {
	hub := push.New()
	defer hub.Shutdown(context.Background())
	for name, c := range map[string]struct {
		cfg  rest.Config
		says []string
	}{
		"no hub":           {rest.Config{Auth: everybody}, []string{"Hub", "push.New()"}},
		"no auth":          {rest.Config{Hub: hub}, []string{"Auth", "Public(", "Insecure()"}},
		"prefix":           {rest.Config{Hub: hub, Auth: everybody, Prefix: "push"}, []string{"Prefix", "/push"}},
		"prefix with end":  {rest.Config{Hub: hub, Auth: everybody, Prefix: "/push/"}, []string{"Prefix", "/push"}},
		"heartbeat":        {rest.Config{Hub: hub, Auth: everybody, Heartbeat: time.Minute}, []string{"Heartbeat", "25s"}},
		"heartbeat < 0":    {rest.Config{Hub: hub, Auth: everybody, Heartbeat: -1}, []string{"Heartbeat"}},
		"public URL":       {rest.Config{Hub: hub, Auth: everybody, PublicURL: "example.com"}, []string{"PublicURL", "https://"}},
		"public URL path":  {rest.Config{Hub: hub, Auth: everybody, PublicURL: "https://example.com/app"}, []string{"PublicURL", "https://"}},
		"public URL ws":    {rest.Config{Hub: hub, Auth: everybody, PublicURL: "wss://example.com"}, []string{"PublicURL", "https://"}},
		"trusted proxy":    {rest.Config{Hub: hub, Auth: everybody, TrustedProxies: []string{"proxy.local"}}, []string{"proxy.local", "10.0.0.0/8"}},
		"proxy header":     {rest.Config{Hub: hub, Auth: everybody, ProxyHeader: "X-Real-IP"}, []string{"X-Real-IP", "X-Forwarded-For", "Forwarded"}},
		"origin":           {rest.Config{Hub: hub, Auth: everybody, Origins: []string{"example.com"}}, []string{"example.com", "https://"}},
		"origin with path": {rest.Config{Hub: hub, Auth: everybody, Origins: []string{"https://example.com/"}}, []string{"scheme, host and port"}},
		"origin pattern":   {rest.Config{Hub: hub, Auth: everybody, Origins: []string{"https://*.example.com"}}, []string{"https://*.example.com"}},
	} {
		_, err := rest.New(c.cfg)
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v does not say %q", name, err, says)
			}
		}
	}
	for _, prefix := range []string{"", "/", "/push", "/a/b"} {
		if _, err := rest.New(rest.Config{Hub: hub, Auth: everybody, Prefix: prefix}); err != nil {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

func TestGrantThatIsNonePanics(t *testing.T) {
	defer func() {
		if v := recover(); v == nil {
			t.Error("Public took a grant for a//b")
		}
	}()
	rest.Public(push.Sub("a//b"))
}

// from makes the site believe what the header Peer says of the peer.
func (s *site) from() {
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer := r.Header.Get("Peer"); peer != "" {
			r.RemoteAddr = peer
		}
		inner.ServeHTTP(w, r)
	})
}

func TestInsecureServesLoopbackPeersOnly(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Insecure()})
	s.from()
	for _, local := range [][]string{
		{}, {"Host: localhost:8080"}, {"Host: localhost"}, {"Host: [::1]:8080"}, {"Host: 127.0.0.1"}, {"Host: 127.1.2.3:1"},
		{"Peer: [::1]:5"}, {"Peer: [::ffff:127.0.0.1]:5"}, {"Peer: 127.8.8.8:5"},
	} {
		s.published(s.post("/topics/wall", "x", local...))
		s.expect(http.StatusOK, s.get("/topics/wall", local...))
	}
	for _, foreign := range []string{
		"Peer: 192.0.2.1:5", "Peer: [2001:db8::1]:5", "Peer: 10.0.0.1:5", "Peer: @", "Peer: [::ffff:192.0.2.1]:5", "Peer: 127.0.0.1.evil:5", "Peer: localhost.evil:5",
		"Host: evil.example", "Host: evil.example:8080", "Host: 127.0.0.1.evil.example", "Host: localhost.evil.example", "Host: 192.0.2.1",
		"Host: 0.0.0.0", // DNS rebinding
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: localhost", "Forwarded: for=127.0.0.1", "Via: 1.1 proxy", "X-Real-Ip: 127.0.0.1",
	} {
		for _, a := range []answer{s.get("/topics/wall", foreign), s.post("/topics/wall", "x", foreign), s.do(http.MethodGet, "/topics/wall", "", foreign,
			"Accept: text/event-stream")} {
			if detail := s.expect(http.StatusForbidden, a); !strings.Contains(detail, "configure Auth") {
				t.Errorf("%s: %q does not say the fix", foreign, detail)
			}
		}
		if c, res := s.dial("/topics/wall", foreign); c != nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: a WebSocket was opened", foreign)
		}
	}
}

func TestPublicGrantsAndNothingElse(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("wall"), push.Pub("inbox"))})
	s.expect(http.StatusOK, s.get("/topics/wall"))
	s.published(s.post("/topics/inbox", "x"))
	s.expect(http.StatusForbidden, s.get("/topics/inbox"))
	s.expect(http.StatusForbidden, s.post("/topics/wall", "x"))
	s.expect(http.StatusForbidden, s.get("/events?topic=wall&topic=inbox"))
	s.expect(http.StatusForbidden, s.get("/topics/inbox?id=x"))
	s.expect(http.StatusForbidden, s.do(http.MethodHead, "/topics/inbox", ""))
	s.expect(http.StatusForbidden, s.do(http.MethodGet, "/topics/inbox", "", "Accept: text/event-stream"))
	if c, res := s.dial("/topics/inbox"); c != nil || res.StatusCode != http.StatusForbidden {
		t.Error("a WebSocket was opened to a topic that is not granted")
	}
	c := s.socket("/topics/wall")
	if r, _ := c.act(`{"action":"publish","topic":"inbox","data":1}`); r.Problem != nil {
		t.Errorf("publish by a frame: %+v", r.Problem)
	}
	if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem == nil || r.Problem.Status != http.StatusForbidden {
		t.Errorf("publish by a frame to what is read only: %+v", r)
	}
	if r, _ := c.act(`{"action":"subscribe","topics":["inbox"]}`); r.Problem == nil || r.Problem.Status != http.StatusForbidden {
		t.Errorf("subscribe by a frame: %+v", r)
	}
}

func TestHistoryAloneIsNoStream(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.History("wall"))})
	id := s.publish("wall", "x")[0].String()
	if p := s.page("/topics/wall?after=0"); len(p.Items) != 1 {
		t.Errorf("history: %v", p.texts())
	}
	s.expect(http.StatusOK, s.get("/topics/wall?id="+id))
	s.expect(http.StatusForbidden, s.do(http.MethodGet, "/topics/wall", "", "Accept: text/event-stream"))
	s.expect(http.StatusForbidden, s.get("/topics/wall?after="+id, "Prefer: wait=5"))
	if c, res := s.dial("/topics/wall"); c != nil || res.StatusCode != http.StatusForbidden {
		t.Error("a WebSocket was opened with a grant for history alone")
	}
}

func TestGrantsAreNotReplayedAround(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("rooms/*"))})
	s.publish("rooms/1", "in")
	s.publish("rooms/1/deep", "out")
	s.publish("secret", "out")
	s.publish("rooms/2", "in too")
	s.follow("/events?topic=rooms/*&after=0").messages("in", "in too")
	s.follow("/events?topic=rooms/*&last=10").messages("in", "in too")
}

func TestAnswersOfAuth(t *testing.T) {
	refuse := &rest.Problem{Title: "Unauthorized", Status: 401, Detail: "the token has expired", Header: http.Header{"Www-Authenticate": {"Bearer"}}}
	s := serve(t, rest.Config{Auth: rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
		switch r.Header.Get("User") {
		case "expired":
			return nil, refuse
		case "wrapped":
			return nil, errors.Join(errors.New("jwks"), refuse)
		case "broken":
			return nil, errors.New("ldap: 10.0.0.5 timed out")
		case "nil":
			return nil, nil
		}
		return nil, context.DeadlineExceeded
	})})
	for _, user := range []string{"expired", "wrapped"} {
		a := s.get("/topics/wall", "User: "+user)
		if detail := s.expect(http.StatusUnauthorized, a); detail != "the token has expired" || a.Header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%s: %q %q", user, detail, a.Header.Get("Www-Authenticate"))
		}
	}
	for _, user := range []string{"broken", "nil"} {
		if detail := s.expect(http.StatusInternalServerError, s.get("/topics/wall", "User: "+user)); strings.Contains(detail, "ldap") ||
			strings.Contains(detail, "Auth") {
			t.Errorf("%s: the client is told %q", user, detail)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "10.0.0.5") || !strings.Contains(log, "neither a principal nor an error") {
		t.Errorf("the log does not say what went wrong: %s", log)
	}
	s.expect(http.StatusNoContent, s.do(http.MethodOptions, "/topics/wall", "", "User: expired")) // browsers send no credentials with a preflight
}

// Any status but 200 would have an EventSource stay away for good.
func TestAuthThatFailsForNowIsTemporaryForStreams(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.AuthFunc(func(*http.Request) (*rest.Principal, error) {
		return nil, &rest.Problem{Title: "Service Unavailable", Status: 503, Detail: "the identity provider is down"}
	})})
	var end closeData
	es := s.open("/topics/wall")
	if es.expect("push.close", &end); end.Code != push.CloseOverload || end.Retry < 1 || end.Reason != "the identity provider is down" {
		t.Errorf("push.close %+v", end)
	}
	es.ended()
	s.expect(http.StatusServiceUnavailable, s.get("/topics/wall"))
	s.expect(http.StatusServiceUnavailable, s.post("/topics/wall", "x"))
	s.expect(http.StatusServiceUnavailable, s.do(http.MethodGet, "/connections/x/subscriptions", ""))
	if c, res := s.dial("/topics/wall"); c != nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Error("a WebSocket was opened")
	}
}
