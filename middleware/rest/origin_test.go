package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// mayWrite reports whether a page of an origin may open a WebSocket and
// publish; both must agree.
func (s *site) mayWrite(origin string, headers ...string) bool {
	s.t.Helper()
	headers = append(headers, "Origin: "+origin)
	c, res := s.dial("/topics/wall", headers...)
	if c == nil {
		if res.StatusCode != http.StatusForbidden {
			s.t.Errorf("WebSocket from %s %v: %s, want 101 or 403", origin, headers, res.Status)
		}
	} else {
		_ = c.CloseNow()
	}
	a := s.post("/topics/wall", "x", headers...)
	if a.StatusCode != http.StatusForbidden {
		s.published(a)
	} else if detail := s.expect(http.StatusForbidden, a); !strings.Contains(detail, "Origins") {
		s.t.Errorf("403 says %q, not the fix", detail)
	}
	if (c != nil) != (a.StatusCode == http.StatusCreated) {
		s.t.Errorf("origin %s %v: WebSocket %v, publish %d", origin, headers, c != nil, a.StatusCode)
	}
	return c != nil
}

func TestForeignPagesCannotWrite(t *testing.T) {
	s := serve(t, rest.Config{PublicURL: "https://app.example.com", Origins: []string{"https://admin.example.com", "http://localhost:3000"}})
	const host = "Host: app.example.com"
	for _, origin := range []string{"https://app.example.com", "https://admin.example.com", "http://localhost:3000"} {
		if !s.mayWrite(origin, host) {
			t.Errorf("%s is refused", origin)
		}
	}
	for _, origin := range []string{
		"http://app.example.com", "https://app.example.com.evil", "https://evil.example", "null", "https://app.example.com:8443", "https://x.app.example.com",
		"https://app.example.com@evil.example", "https://evil.example/app.example.com", "https://evilapp.example.com", "app.example.com", "file://", "https://",
		"http://localhost", "http://localhost:3001", "https://localhost:3000", "http://admin.example.com", "%00", "https://app.example.com%00.evil.example",
	} {
		if s.mayWrite(origin, host) {
			t.Errorf("%s may write: a foreign page has the visitor's cookies", origin)
		}
		if !s.mayWrite(origin, host, "Authorization: Bearer x") {
			t.Errorf("%s with an Authorization header, which no page can make a browser add, is refused", origin)
		}
	}
}

func TestForeignPagesCannotChangeConnections(t *testing.T) {
	s := serve(t, rest.Config{})
	es := s.follow("/topics/wall")
	for method, path := range map[string]string{
		http.MethodPatch: "/subscriptions", http.MethodPut: "/credentials", http.MethodPost: "/messages", http.MethodDelete: "",
	} {
		s.expect(http.StatusForbidden, s.do(method, "/connections/"+es.cid+path, `{"add":["x"]}`, "Origin: https://evil.example"))
	}
	s.expect(http.StatusOK, s.get("/connections/"+es.cid+"/subscriptions"))
}

func TestOriginWithoutPublicURLMustBeTheHost(t *testing.T) {
	s := serve(t, rest.Config{})
	host := s.Listener.Addr().String()
	for _, origin := range []string{"http://" + host, "https://" + host} { // a proxy may have taken TLS off
		if !s.mayWrite(origin) {
			t.Errorf("%s is refused", origin)
		}
	}
	for _, origin := range []string{"http://127.0.0.1", "http://evil.example", "null", "http://" + host + ".evil.example", "http://" + host +
		"@evil.example", "//" + host[:len(host)-1]} {
		if s.mayWrite(origin) {
			t.Errorf("%s may write", origin)
		}
	}
}

func TestOriginThatOnlyBeginsLikeTheHostIsForeign(t *testing.T) {
	s := serve(t, rest.Config{})
	for origin, allowed := range map[string]bool{
		"https://app.example.com": true, "http://APP.example.com": true, "https://app.example.com.evil": false, "https://app.example.co": false,
		"https://app.example.com:8443": false, "https://evil.example/?app.example.com": false,
	} {
		if s.mayWrite(origin, "Host: app.example.com") != allowed {
			t.Errorf("%s may write to app.example.com: want %v", origin, allowed)
		}
	}
}

func TestForeignHostIsMisdirected(t *testing.T) {
	s := serve(t, rest.Config{PublicURL: "https://app.example.com"})
	for _, host := range []string{"evil.example", "app.example.com.evil.example", "app.example.com:8080", "127.0.0.1"} {
		for _, a := range []answer{
			s.get("/topics/wall", "Host: "+host), s.post("/topics/wall", "x", "Host: "+host, "Origin: https://"+host), s.do(http.MethodOptions,
				"/topics/wall", "", "Host: "+host),
			s.post("/topics/wall", "x", "Host: "+host, "Authorization: Bearer x"),
		} {
			if detail := s.expect(http.StatusMisdirectedRequest, a); !strings.Contains(detail, "https://app.example.com") {
				t.Errorf("%s: %q does not say who this is", host, detail)
			}
		}
		if c, res := s.dial("/topics/wall", "Host: "+host, "Origin: http://"+host); c != nil || res.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("Host = Origin = %s: %s, want 421 and no 101", host, res.Status)
		}
	}
}

func TestDefaultPortOfThePublicURLIsTheSameHost(t *testing.T) {
	for publicURL, hosts := range map[string][]string{
		"https://app.example.com:443": {"app.example.com", "app.example.com:443"}, "https://app.example.com": {"app.example.com:443", "APP.example.com"},
		"http://app.example.com:80": {"app.example.com"}, "http://app.example.com:8080": {"app.example.com:8080"}, "https://[2001:db8::1]": {"[2001:db8::1]"},
	} {
		s := serve(t, rest.Config{PublicURL: publicURL})
		for _, host := range hosts {
			if a := s.get("/topics/wall", "Host: "+host); a.StatusCode != http.StatusOK {
				t.Errorf("PublicURL %s: Host %s is %d", publicURL, host, a.StatusCode)
			}
		}
		origin := strings.TrimSuffix(strings.TrimSuffix(publicURL, ":443"), ":80")
		if strings.HasPrefix(publicURL, "http://app.example.com:8080") {
			origin = publicURL
		}
		if !s.mayWrite(origin, "Host: "+hosts[0]) {
			t.Errorf("PublicURL %s: its own origin %s is refused", publicURL, origin)
		}
	}
}

// cors returns the CORS headers of an answer.
func cors(a answer) (origin, credentials string) {
	return a.Header.Get("Access-Control-Allow-Origin"), a.Header.Get("Access-Control-Allow-Credentials")
}

func TestCORSOfListedOrigins(t *testing.T) {
	s := serve(t, rest.Config{Origins: []string{"https://app.example.com", "https://admin.example.com:8443"}, MaxMessage: 10})
	for _, origin := range []string{"https://app.example.com", "https://admin.example.com:8443"} {
		for _, a := range []answer{
			s.get("/topics/wall", "Origin: "+origin), s.post("/topics/wall", "x", "Origin: "+origin), s.get("/topics/a//b", "Origin: "+origin),
			s.post("/topics/wall", "more than ten", "Origin: "+origin), s.do(http.MethodOptions, "/topics/wall", "", "Origin: "+origin),
		} {
			if o, c := cors(a); o != origin || c != "true" {
				t.Errorf("%s: %d with %q %q", a.what, a.StatusCode, o, c)
			}
		}
		es := s.follow("/topics/wall", "Origin: "+origin)
		if es.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("a stream for %s without CORS: its EventSource would fail", origin)
		}
	}
	for _, origin := range []string{"https://evil.example", "null", "http://app.example.com"} {
		a := s.get("/topics/wall", "Origin: "+origin)
		if o, c := cors(a); a.StatusCode != http.StatusForbidden || o != "" || c != "" {
			t.Errorf("%s: %d with %q %q", origin, a.StatusCode, o, c)
		}
		s.expect(http.StatusOK, s.get("/topics/wall", "Origin: "+origin, "Authorization: Bearer x"))
	}
}

func TestCORSOfAnyOriginIsWithoutCredentials(t *testing.T) {
	s := serve(t, rest.Config{Origins: []string{"*", "https://app.example.com"}})
	for origin, want := range map[string][2]string{
		"https://evil.example": {"*", ""}, "null": {"*", ""}, "https://app.example.com": {"https://app.example.com", "true"},
	} {
		for _, a := range []answer{s.get("/topics/wall", "Origin: "+origin), s.do(http.MethodOptions, "/topics/wall", "", "Origin: "+origin)} {
			if o, c := cors(a); o != want[0] || c != want[1] {
				t.Errorf("%s: %q %q, want %q", a.what, o, c, want)
			}
		}
	}
	if o, _ := cors(s.get("/topics/wall")); o != "" {
		t.Errorf("CORS without an Origin: %q", o)
	}
}

// A page of any site can make a browser send its visitor's cookies with an
// upgrade or a simple POST; "*" does not mean that these count.
func TestAnyOriginDoesNotActWithTheVisitorsCookies(t *testing.T) {
	var seen string
	s := serve(t, rest.Config{
		Origins: []string{"*", "https://app.example.com"}, Cookies: true,
		Auth: rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
			p := &rest.Principal{Grants: []push.Grant{push.Sub("**"), push.Pub("**")}}
			if c, err := r.Cookie("session"); err == nil {
				p.Subject = c.Value
			}
			seen = p.Subject
			return p, nil
		}),
	})
	own := "http://" + s.Listener.Addr().String()
	for origin, want := range map[string]string{"https://evil.example": "", "null": "", "https://app.example.com": "ann", own: "ann"} {
		if !s.mayWrite(origin, "Cookie: session=ann") || seen != want {
			t.Errorf("from %s with ann's cookie: served as %q, want %q", origin, seen, want)
		}
	}
	s.expect(http.StatusOK, s.get("/topics/wall", "Cookie: session=ann", "Sec-Fetch-Site: same-origin"))
	if seen != "ann" {
		t.Errorf("without an Origin: served as %q", seen)
	}
}

// EventSource sends no Origin to its own site, and a link or an image of any
// site sends none either: what its browser says of a GET tells them apart.
func TestACookieWithoutAnOriginNeedsTheBrowsersWord(t *testing.T) {
	asked := 0
	s := serve(t, rest.Config{Cookies: true, Auth: rest.AuthFunc(func(*http.Request) (*rest.Principal, error) {
		asked++
		return &rest.Principal{Subject: "ann", Grants: []push.Grant{push.Sub("**"), push.Pub("**")}}, nil
	})})
	const cookie = "Cookie: session=ann"
	s.expect(http.StatusForbidden, s.post("/topics/wall", "x", cookie))
	s.expect(http.StatusForbidden, s.post("/topics/wall", "x", cookie, "Sec-Fetch-Site: same-origin"))
	for _, site := range []string{"", "cross-site", "same-site", "none", "same-origin, cross-site", "SAME-ORIGIN"} {
		s.expect(http.StatusForbidden, s.get("/topics/wall", cookie, "Sec-Fetch-Site: "+site))
	}
	if c, res := s.dial("/topics/wall", cookie, "Sec-Fetch-Site: same-origin"); c != nil || res.StatusCode != http.StatusForbidden {
		t.Error("a WebSocket without an Origin was opened: every browser sends one")
	}
	if asked != 0 {
		t.Errorf("the cookie was looked at %d times before the origin", asked)
	}
	s.expect(http.StatusOK, s.get("/topics/wall", cookie, "Sec-Fetch-Site: same-origin"))
	s.follow("/topics/wall", cookie, "Sec-Fetch-Site: same-origin")
	s.published(s.post("/topics/wall", "x", cookie, "Origin: "+s.URL))
	s.published(s.post("/topics/wall", "x")) // no cookie, so nobody's
}

// Without the option no cookie counts, and with it none next to a credential.
func TestCookiesCountOnlyByOptionAndAlone(t *testing.T) {
	var seen string
	auth := rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
		seen = r.Header.Get("Cookie")
		return &rest.Principal{Grants: []push.Grant{push.Sub("**")}}, nil
	})
	off := serve(t, rest.Config{Auth: auth})
	on := serve(t, rest.Config{Auth: auth, Cookies: true})
	own := "Origin: " + on.URL
	for _, c := range []struct {
		s       *site
		headers []string
		want    string
	}{
		{off, nil, ""}, {off, []string{"Authorization: Bearer x"}, ""},
		{on, []string{own}, "session=ann"}, {on, []string{own, "Authorization: Bearer x"}, ""}, {on, []string{"Authorization: "}, ""},
	} {
		c.s.expect(http.StatusOK, c.s.get("/topics/wall", append(c.headers, "Cookie: session=ann")...))
		if seen != c.want {
			t.Errorf("%v: Auth saw the cookies %q, want %q", c.headers, seen, c.want)
		}
	}
}

func TestPreflightAllowsWhatTheProtocolNeeds(t *testing.T) {
	s := serve(t, rest.Config{Origins: []string{"https://app.example.com"}})
	a := s.do(http.MethodOptions, "/topics/wall", "", "Origin: https://app.example.com", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: push-event, content-type")
	s.expect(http.StatusNoContent, a)
	if methods := a.Header.Get("Access-Control-Allow-Methods"); methods != "GET, HEAD, POST, OPTIONS" {
		t.Errorf("methods %q", methods)
	}
	allowed := strings.ToLower(a.Header.Get("Access-Control-Allow-Headers"))
	for _, name := range []string{"authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "last-event-id", "prefer",
		"push-connection", "push-event", "push-key"} {
		if !strings.Contains(allowed, name) {
			t.Errorf("a page may not send %s", name)
		}
	}
	exposed := s.get("/topics/wall", "Origin: https://app.example.com").Header.Get("Access-Control-Expose-Headers")
	for _, name := range []string{"Location", "ETag", "Link", "Push-Cursor", "Preference-Applied", "Retry-After"} {
		if !strings.Contains(exposed, name) {
			t.Errorf("a page cannot read %s", name)
		}
	}
	foreign := s.do(http.MethodOptions, "/topics/wall", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST")
	for name := range foreign.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("preflight of a foreign page: %s", name)
		}
	}
}
