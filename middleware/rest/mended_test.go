package rest_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

const evil = "Origin: https://evil.example"

// A page of any site can send a ticket or a subprotocol that is empty, without a
// preflight: neither may pass for a credential that says who it comes from.
func TestWhatIsNoCredentialDoesNotOpenTheDoorToForeignPages(t *testing.T) {
	all := []push.Grant{push.Sub("**"), push.Pub("**"), push.Manage("**")}
	byAddress := func(*http.Request) (*rest.Principal, error) {
		return &rest.Principal{Subject: "who has this address", Grants: all}, nil
	}
	for name, c := range map[string]struct {
		auth   rest.Auth
		ticket int // the answer to one that is none: where nobody can have one it is not even looked at
	}{
		"public": {rest.Public(all...), 403}, "insecure": {rest.Insecure(), 403}, "function": {rest.AuthFunc(byAddress), 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, rest.Config{Auth: c.auth, BearerSubprotocol: true})
			es := s.follow("/topics/wall")
			for _, q := range []string{"?ticket=", "?ticket=x", "?ticket=" + strings.Repeat("A", 43)} {
				s.expect(c.ticket, s.post("/topics/wall"+q, "x", evil))
				s.expect(c.ticket, s.get("/topics/wall"+q, evil))
				s.expect(c.ticket, s.post("/revocations"+q, `{"sub":"x"}`, evil))
				s.expect(c.ticket, s.do(http.MethodDelete, "/connections/"+es.cid+q, "", evil))
				s.expect(http.StatusUnauthorized, s.post("/topics/wall"+q, "x")) // whoever sends it
				s.expect(http.StatusUnauthorized, s.get("/topics/wall"+q, "Origin: "+s.URL))
			}
			for _, protocol := range []string{"push.ticket.", "push.ticket.x"} {
				if c.ticket == 401 {
					s.socketRefused(push.CloseUnauthorized, evil, "Sec-WebSocket-Protocol: "+protocol)
				} else {
					s.foreign("Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: "+protocol)
				}
			}
			for _, protocol := range []string{"push.bearer.", "push.bearer.x", "push.bearer.a b"} { // Auth may look past them
				s.foreign("Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: "+protocol)
			}
			s.expect(http.StatusBadRequest, s.post("/topics/wall?ticket=&ticket=", "x", evil))
			s.get("/connections/" + es.cid + "/subscriptions") // it is still there
		})
	}
}

// foreign checks that a foreign page gets no WebSocket.
func (s *site) foreign(headers ...string) {
	s.t.Helper()
	if c, res := s.dial("/topics/wall", append(headers, evil)...); c != nil || res.StatusCode != http.StatusForbidden {
		s.t.Errorf("%v: %s, want 403", headers, res.Status)
	}
}

// A token that is empty or could be none is refused, whatever Auth makes of it.
func TestSubprotocolWithoutAToken(t *testing.T) {
	for name, auth := range map[string]rest.Auth{"tokens": &issuer{}, "public": everybody} {
		s := serve(t, rest.Config{Auth: auth, BearerSubprotocol: true, PublicURL: "https://app.example.com"})
		s.asHost("app.example.com")
		for _, token := range []string{"", "=", "a=b", "a%20b", "a|b"} {
			c, res := s.dial("/topics/wall", own, "Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: push.bearer."+token)
			if c == nil {
				t.Fatalf("%s, %q: %s, want a close code", name, token, res.Status)
			}
			if code, _ := c.closed(); code != push.CloseUnauthorized {
				t.Errorf("%s, %q: closed with %d", name, token, code)
			}
		}
	}
}

// What a browser has asked its user for goes along with the requests of every
// page: it says nothing of which page it is.
func TestPasswordsThatABrowserAddsAreNoProofOfThePage(t *testing.T) {
	auth := rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
		if r.Header.Get("Authorization") == "" {
			return nil, rest.InvalidToken("who?", nil)
		}
		return &rest.Principal{Subject: "ann", Grants: []push.Grant{push.Sub("**"), push.Pub("**")}}, nil
	})
	for _, cookies := range []bool{false, true} {
		s := serve(t, rest.Config{Auth: auth, Cookies: cookies})
		for _, header := range []string{"Basic YW5uOng=", "basic YW5uOng=", "Digest username=ann", "NTLM TlRM", "Negotiate YII="} {
			header = "Authorization: " + header
			s.expect(http.StatusForbidden, s.post("/topics/wall", "x", header, evil))
			s.foreign(header)
			s.published(s.post("/topics/wall", "x", header, "Cookie: session=ann")) // curl -u
			s.published(s.post("/topics/wall", "x", header, "Origin: "+s.URL))
		}
		for _, header := range []string{"Bearer x", "ApiKey x"} { // devices, with odd origins
			s.published(s.post("/topics/wall", "x", "Authorization: "+header, evil))
		}
		s.expect(http.StatusForbidden, s.post("/topics/wall", "x", "Authorization: ", evil))
	}
}

// A provider's clock may be ahead of ours.
func TestRevocationOfASubjectCoversTokensOfAFastClock(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		b := i.issue("ann", 0)
		i.tokens["token-0"].IssuedAt = time.Now().Add(29 * time.Second)
		es := s.follow("/topics/wall", b)
		s.expect(http.StatusNoContent, s.post("/revocations", `{"sub":"ann"}`, i.issue("root", 0, push.Manage("**"))))
		var end closeData
		if es.expect("push.close", &end); end.Code != push.CloseForbidden {
			t.Errorf("push.close %+v", end)
		}
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", b))
	})
}

// The token is revoked while a stream is about to take it over.
func TestRevokedTokenIsNotKeptByAStream(t *testing.T) {
	i := &issuer{}
	var armed atomic.Bool
	var s *site
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", Authorize: func(context.Context, *rest.Principal, push.Action, string) (bool, error) {
			if armed.CompareAndSwap(true, false) {
				s.expect(http.StatusNoContent, s.post("/revocations", `{"jti":"jti-1"}`, "Authorization: Bearer token-2"))
				synctest.Wait()
			}
			return true, nil
		}}
	}
	inBubble(t, config, func(t *testing.T, site *site) {
		s = site
		s.asHost("app.example.com")
		old, fresh := i.issue("ann", time.Minute), i.issue("ann", 0)
		i.issue("root", 0, push.Manage("**"))
		es := s.follow("/topics/wall", old)
		armed.Store(true)
		s.expect(http.StatusUnauthorized, s.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", fresh))
		var end closeData
		if es.expect("push.close", &end); end.Code != push.CloseForbidden {
			t.Errorf("push.close %+v", end)
		}
	})
}

// A tab whose token runs out soon must not shorten what another tab's ticket has.
func TestALaterTicketDoesNotShortenAnEarlierOne(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		first := s.ticket(wall, i.issue("ann", 10*time.Minute), own)
		s.follow(first.path, same, first.cookie).close()
		s.ticket(wall, i.issue("ann", time.Minute), own, first.cookie)
		time.Sleep(2 * time.Minute)
		s.expect(http.StatusOK, s.get(first.path, same, first.cookie))
		time.Sleep(9 * time.Minute)
		s.expect(http.StatusUnauthorized, s.get(first.path, same, first.cookie))
	})
}

// A real cookie, of somebody else.
func TestSpentTicketWithAnotherSubjectsCookie(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		ann, bob := s.ticket(wall, i.issue("ann", 0), own), s.ticket(wall, i.issue("bob", 0), own)
		s.follow(ann.path, same, ann.cookie).close()
		s.expect(http.StatusUnauthorized, s.get(ann.path, same, bob.cookie))
		s.expect(http.StatusOK, s.get(ann.path, same, ann.cookie))
	})
}

// historyDown is a broker whose history may be away.
type historyDown struct {
	push.Broker
	down atomic.Bool
}

func (b *historyDown) History(ctx context.Context, q push.Query) (push.Page, error) {
	if b.down.Load() {
		return push.Page{}, context.DeadlineExceeded
	}
	return b.Broker.History(ctx, q)
}

func TestAnEventThatCannotBeReadForNowSpendsNoTicket(t *testing.T) {
	i, b := &issuer{}, &historyDown{Broker: push.NewMemory()}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: push.NewHub(b)}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.asHost("app.example.com")
		synctest.Wait()
		id := s.publish("wall", "1")[0].String()
		tk := s.ticket(wall, i.issue("ann", 0))
		b.down.Store(true)
		s.expect(http.StatusServiceUnavailable, s.get(tk.path+"&id="+id, same))
		b.down.Store(false)
		s.expect(http.StatusOK, s.get(tk.path+"&id="+id, same))
		s.expect(http.StatusUnauthorized, s.get(tk.path+"&id="+id, same))
	})
}

func TestBadTokensInMessagesAreFailures(t *testing.T) {
	i := &issuer{}
	config := func() rest.Config {
		return rest.Config{
			Auth: i, PublicURL: "https://app.example.com", TrustedProxies: []string{"127.0.0.1"},
			Limits: rest.Limits{AuthFailures: 3, ConnectionMessages: -1, Messages: -1, AddressMessages: -1},
		}
	}
	s := serve(t, config())
	s.asHost("app.example.com")
	from := "X-Forwarded-For: 203.0.113.7"
	b := i.issue("ann", 0)
	es := s.follow("/topics/wall", b, from)
	guess := func() answer {
		return s.post("/connections/"+es.cid+"/messages", `{"action":"credentials","token":"guess"}`, b, from)
	}
	for range 3 {
		s.expect(http.StatusUnauthorized, guess())
	}
	s.expect(http.StatusTooManyRequests, guess())
}

func TestTokenInAnyURLIsRefused(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		b := i.issue("ann", 0)
		for _, path := range []string{"/openapi.json", "/client.js", "/nothing", "/topics/wall", "/events", "/tickets"} {
			s.expect(http.StatusBadRequest, s.get(path+"?access_token=x", b))
			s.expect(http.StatusBadRequest, s.do(http.MethodDelete, path+"?x=1;access_token=x", "", b))
		}
	})
}

func TestRedactLooksBehindSemicolons(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/push/topics/a?x=1;access_token=SECRET;ticket=SECRET", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	if r = rest.Redact(r); strings.Contains(r.URL.RawQuery+r.RequestURI, "SECRET") {
		t.Error(r.URL.RawQuery, r.RequestURI)
	}
}

// One line says why a stream ended, and whose it was.
func TestTheEndOfAStreamIsLoggedInOneLine(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		b := i.issue("ann@example.com", time.Minute)
		i.tokens["token-0"].KeyID = "key-1"
		es := s.follow("/topics/wall", b, own)
		for es.next().Name != "push.close" {
		}
		for line := range strings.Lines(s.log.String()) {
			if !strings.Contains(line, "stream ended") {
				continue
			}
			for _, want := range []string{"reason=", "iss=https://id.example.com", "kid=key-1", "sub=", "jti=", "connection=", "origin=https://app.example.com"} {
				if !strings.Contains(line, want) {
					t.Errorf("no %s in: %s", want, line)
				}
			}
			return
		}
		t.Error("no line says that it ended: ", s.log.String())
	})
}
