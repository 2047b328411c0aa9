package rest_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// membership is a rule of an application's own.
type membership struct {
	mu     sync.Mutex
	topics map[string]bool // that nobody may use
	err    error
	asked  []string
}

func (m *membership) authorize(_ context.Context, p *rest.Principal, action push.Action, topic string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, p.Subject+" "+string(action)+" "+topic)
	return !m.topics[topic], m.err
}

func (m *membership) set(err error, topics ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err, m.topics = err, map[string]bool{}
	for _, t := range topics {
		m.topics[t] = true
	}
}

func TestAuthorizeOfTheApplication(t *testing.T) {
	i, m := &issuer{}, &membership{}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", Authorize: m.authorize}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.asHost("app.example.com")
		m.set(nil, "closed")
		ann := i.issue("ann", 0, push.Sub("*"), push.Pub("*"), push.Manage("**"))
		s.expect(http.StatusOK, s.get("/topics/wall", ann))
		es, c := s.follow("/topics/wall", ann), s.socket("/topics/wall", ann)
		denied := map[string]answer{
			"page": s.get("/topics/closed", ann), "stream": s.do(http.MethodGet, "/topics/closed", "", ann, "Accept: text/event-stream"),
			"topics": s.get("/events?topic=wall&topic=closed", ann), "publish": s.post("/topics/closed", "x", ann),
			"add": s.patch(es.cid, `{"add":["closed"]}`, ann), "message": s.post("/connections/"+es.cid+"/messages", `{"action":"publish","topic":"closed","data":1}`, ann),
			"ticket": s.post("/tickets", `{"topics":["closed"]}`, ann), "event": s.get("/topics/closed?id=x", ann),
		}
		for what, a := range denied {
			if detail := s.expect(http.StatusForbidden, a); !strings.HasSuffix(detail, "not granted: closed") {
				t.Errorf("%s: %q", what, detail)
			}
		}
		if r, _ := c.act(`{"action":"subscribe","topics":["closed"]}`); r.Problem == nil || r.Problem.Status != 403 {
			t.Errorf("by a frame: %+v", r)
		}
		m.asked = nil
		s.expect(http.StatusForbidden, s.get("/topics/a/b", ann)) // no grant: it is not asked
		s.expect(http.StatusOK, s.get("/events?topic=*", ann))
		if want := []string{"ann history *"}; !slices.Equal(m.asked, want) {
			t.Errorf("asked %q, want %q", m.asked, want)
		}

		m.set(errors.New("the database is at 10.0.0.7"))
		a := s.get("/topics/wall", ann)
		if detail := s.expect(http.StatusServiceUnavailable, a); strings.Contains(detail, "10.0.0.7") {
			t.Errorf("the client is told %q", detail)
		}
		s.told("/topics/wall", ann)
		s.expect(http.StatusServiceUnavailable, s.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", ann))
		if !strings.Contains(s.log.String(), "10.0.0.7") {
			t.Errorf("the log does not say why: %s", s.log)
		}

		m.set(nil, "wall") // a member no more, which shows when the credentials change
		got := s.subscriptions(s.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", ann))
		if len(got.Topics) != 0 || es.changed().Reason != "not granted any more" {
			t.Errorf("the stream goes on with %q", got.Topics)
		}
	})
}

// Failures 55, 62: what the log says of those who are not let in, and what it
// does not.
func TestLogsHaveNoSecrets(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer := i.issue("ann@example.com", 0, push.Sub("wall"))
		admin := i.issue("admin", 0, push.Manage("**"))
		tk := s.ticket(wall, bearer, own)
		es := s.follow(tk.path, same)
		s.get(tk.path, same)
		s.get("/topics/wall?access_token=secret-token", bearer)
		s.get("/topics/wall", "Authorization: Bearer secret-token", "Cookie: session=secret-cookie", own)
		s.post("/topics/wall", "secret-payload", bearer)
		s.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", admin)
		s.post("/revocations", `{"sub":"ann@example.com"}`, admin)
		time.Sleep(time.Second)
		log := s.log.String()
		for _, secret := range []string{
			tk.Ticket, strings.TrimPrefix(bearer, "Authorization: Bearer "), "secret", tk.cookie, strings.Split(tk.cookie, "=")[1], "ann@example.com", es.cid, "jti-0",
		} {
			if strings.Contains(log, secret) {
				t.Errorf("the log has %q: %s", secret, log)
			}
		}
		for _, useful := range []string{"reason=", "status=401", "status=403", "iss=https://id.example.com", "sub=", "jti=", "connection=", "origin=https://app.example.com", "stream ended"} {
			if !strings.Contains(log, useful) {
				t.Errorf("the log lacks %q: %s", useful, log)
			}
		}
	})
}

func TestTwoCredentialsAreOneTooMany(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer := i.issue("ann", 0)
		tk := s.ticket(wall, bearer, own)
		for _, headers := range [][]string{
			{bearer}, {bearer, same}, {bearer, tk.cookie}, {bearer, own},
		} {
			s.expect(http.StatusBadRequest, s.get(tk.path, headers...))
		}
		s.expect(http.StatusBadRequest, s.get(tk.path+"&ticket="+tk.Ticket, same))
		s.expect(http.StatusBadRequest, s.get("/topics/wall", bearer, bearer))
		for _, protocols := range [][]string{{"push.ticket." + tk.Ticket, "push.ticket." + tk.Ticket}, {"push.bearer.x"}, {"push.ticket.x", "push.bearer.x"}} {
			headers := []string{own}
			for _, p := range protocols {
				headers = append(headers, "Sec-WebSocket-Protocol: "+p)
			}
			if c, res := s.dial("/topics/wall", headers...); c != nil || res.StatusCode != http.StatusBadRequest {
				t.Errorf("%q: %v", protocols, res)
			}
		}
		if c, res := s.dial(tk.path, own, "Sec-WebSocket-Protocol: push.ticket."+tk.Ticket); c != nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("a ticket in two places: %v", res)
		}
		for _, query := range []string{"?access_token=x", "?access_token=", "?topic=a&access_token=x", "?%61ccess_token=x", "?access_token=x&ticket=" + tk.Ticket} {
			a := s.get("/topics/wall"+query, bearer)
			if s.expect(http.StatusBadRequest, a); !strings.Contains(a.Header.Get("Www-Authenticate"), `error="invalid_request"`) {
				t.Errorf("%s: WWW-Authenticate %q", query, a.Header.Get("Www-Authenticate"))
			}
		}
		s.follow(tk.path, same) // none of this has spent it
	})
}

func TestBearerAsASubprotocolByOption(t *testing.T) {
	i := &issuer{}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", BearerSubprotocol: true}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.asHost("app.example.com")
		token := strings.TrimPrefix(i.issue("ann", 0), "Authorization: Bearer ")
		c, res := s.dial("/topics/wall", own, "Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: push.bearer."+token)
		if c == nil || c.Subprotocol() != "push.v1" {
			t.Fatalf("the handshake: %v", res)
		}
		s.socketRefused(push.CloseUnauthorized, own, "Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: push.bearer.made-up")
		if c, res := s.dial("/topics/wall", "Authorization: Bearer made-up"); c != nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("who can send a header can see a status: %v", res)
		}
	})
}

// Failure 54 and RFC 6750: what a client is told with a 401, 403.
func TestChallenges(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		const metadata = `resource_metadata="https://app.example.com/.well-known/oauth-protected-resource/push"`
		for want, a := range map[string]answer{
			"Bearer " + metadata:                             s.get("/topics/wall"),
			`Bearer error="invalid_token", ` + metadata:      s.get("/topics/wall", "Authorization: Bearer made-up"),
			`Bearer error="insufficient_scope", ` + metadata: s.post("/topics/wall", "x", i.issue("ann", 0, push.Sub("**"))),
		} {
			if got := a.Header.Get("Www-Authenticate"); got != want {
				t.Errorf("%d: WWW-Authenticate %q, want %q", a.StatusCode, got, want)
			}
		}
	})
	s := serve(t, rest.Config{Auth: rest.AuthFunc(func(*http.Request) (*rest.Principal, error) {
		return nil, &rest.Problem{Title: "Unauthorized", Status: 401, Detail: "no", Header: http.Header{"Www-Authenticate": {`Basic realm="x"`}}}
	})})
	if got := s.get("/topics/wall").Header.Get("Www-Authenticate"); got != `Basic realm="x"` {
		t.Errorf("an Auth's own challenge became %q", got)
	}
}
