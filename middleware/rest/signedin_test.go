package rest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// issuer is an Auth that takes the tokens which it has issued.
type issuer struct {
	mu     sync.Mutex
	tokens map[string]*rest.Principal
	down   bool
}

func (i *issuer) AuthorizationServers() []string { return []string{"https://id.example.com"} }
func (i *issuer) ScopesSupported() []string      { return []string{"chat.read"} }

func (i *issuer) Authenticate(r *http.Request) (*rest.Principal, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		return nil, &rest.Problem{Title: "Service Unavailable", Status: http.StatusServiceUnavailable, Detail: "the identity provider is down"}
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, &rest.Problem{Title: "Unauthorized", Status: http.StatusUnauthorized, Detail: "send a bearer token"}
	}
	if p := i.tokens[token]; p != nil {
		return p, nil
	}
	return nil, rest.InvalidToken("the token is not valid", nil)
}

// issue makes a token for a subject, for 10 minutes if life is 0, and returns
// the header that carries it.
func (i *issuer) issue(sub string, life time.Duration, grants ...push.Grant) (bearer string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tokens == nil {
		i.tokens = map[string]*rest.Principal{}
	}
	if life == 0 {
		life = 10 * time.Minute
	}
	if grants == nil {
		grants = []push.Grant{push.Sub("**"), push.Pub("**")}
	}
	n := len(i.tokens)
	token := fmt.Sprintf("token-%d", n)
	i.tokens[token] = &rest.Principal{
		Subject: sub, Grants: grants, Issuer: "https://id.example.com", IssuedAt: time.Now().Truncate(time.Second), Expires: time.Now().Add(life),
		Session: fmt.Sprintf("session-%d", n), TokenID: fmt.Sprintf("jti-%d", n),
	}
	return "Authorization: Bearer " + token
}

const own = "Origin: https://app.example.com"

// signedIn runs f with a mount that takes an issuer's tokens.
func signedIn(t *testing.T, f func(t *testing.T, s *site, i *issuer)) {
	t.Helper()
	i := &issuer{}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", Origins: []string{"https://other.example.com"}}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.asHost("app.example.com")
		f(t, s, i)
	})
}

// asHost has requests arrive as a proxy would send them on.
func (s *site) asHost(host string) {
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == s.Listener.Addr().String() {
			r.Host = host
		}
		inner.ServeHTTP(w, r)
	})
}

type ticket struct {
	rest.TicketResult
	cookie string // the header that a browser sends from then on
	path   string // of sse_url, below the mount
}

// ticket fetches a ticket.
func (s *site) ticket(body string, headers ...string) ticket {
	s.t.Helper()
	a := s.post("/tickets", body, append(headers, "Content-Type: application/json")...)
	s.expect(http.StatusCreated, a)
	var t ticket
	s.decode(a, &t.TicketResult)
	u, err := url.Parse(t.SSEURL)
	if err != nil {
		s.t.Fatal(err)
	}
	t.path = strings.TrimPrefix(u.RequestURI(), "/push")
	t.cookie = s.resumeCookie(a.Response)
	return t
}

// resumeCookie returns the header that a browser sends after an answer, "" if
// it sets no cookie.
func (s *site) resumeCookie(res *http.Response) string {
	s.t.Helper()
	for _, c := range res.Cookies() {
		if c.Name != rest.ResumeCookie {
			continue
		}
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/push" || c.Domain != "" {
			s.t.Errorf("the resume cookie is %s", c.Raw)
		}
		return "Cookie: " + c.Name + "=" + c.Value
	}
	return ""
}
