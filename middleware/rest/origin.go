package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// originPolicy decides which origins may use a mount from a browser. Browsers
// let any page open a WebSocket anywhere, with cookies: so the Origin header
// is checked here, exactly (RFC 6454 section 4: scheme, host and port).
type originPolicy struct {
	public string // origin of PublicURL, "" if not set
	scheme string // its scheme
	list   []string
	any    bool
}

func newOriginPolicy(publicURL string, origins []string) (*originPolicy, error) {
	p := &originPolicy{}
	if publicURL != "" {
		u, err := url.Parse(publicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("rest: PublicURL %q: give scheme and host as browsers see them, e.g. https://api.example.com", publicURL)
		}
		p.public, p.scheme = originOf(u), u.Scheme
	}
	for _, o := range origins {
		if o == "*" {
			p.any = true
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || strings.Contains(u.Host, "*") {
			return nil, fmt.Errorf("rest: origin %q: give scheme, host and port only, e.g. https://app.example.com", o)
		}
		p.list = append(p.list, originOf(u))
	}
	return p, nil
}

// originOf leaves out a scheme's default port, as browsers do.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else if u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

// checkHost refuses requests for another host (RFC 9110 section 15.5.20).
func (p *originPolicy) checkHost(r *http.Request) *Problem {
	if p.public == "" || originOf(&url.URL{Scheme: p.scheme, Host: r.Host}) == p.public {
		return nil
	}
	return problemf(http.StatusMisdirectedRequest, "this server is %s, not %q", p.public, r.Host)
}

// listed reports whether an origin was named in the configuration.
func (p *originPolicy) listed(origin string) bool { return slices.Contains(p.list, origin) }

// sameOrigin reports whether origin is the mount's own. Without PublicURL only
// the host can be compared: a proxy may have taken TLS off.
func (p *originPolicy) sameOrigin(r *http.Request, origin string) bool {
	if p.public != "" {
		return origin == p.public
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// ambient is what a request relies on that its browser, or network, adds to it
// whoever asks.
type ambient uint8

const (
	explicit ambient = iota // nothing: a credential that no page can make a browser add
	cookies
	nothing // that anybody is let in
)

// check refuses what a foreign page sends, before its credentials are looked
// at: every request with an Origin that is not allowed. An explicit credential
// is proof enough, since devices send odd origins: see request.explicit. Where
// cookies count, a request without an Origin has to come from the mount's own
// pages: so it does if a browser says so of a GET (EventSource sends no Origin
// there).
func (p *originPolicy) check(r *http.Request, by ambient) *Problem {
	if by == explicit {
		return nil
	}
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		if by != cookies || isSameOriginGet(r) {
			return nil
		}
		return problemf(http.StatusForbidden, "this request comes with a cookie, but nothing says which page it comes from; send an Authorization header instead")
	case p.any || p.listed(origin) || p.sameOrigin(r, origin):
		return nil
	}
	return problemf(http.StatusForbidden, "origin %q is not allowed here; list it in Origins, or set PublicURL if it is this server's own", origin)
}

// isSameOriginGet reports whether a browser says that one of our own pages
// made the request.
func isSameOriginGet(r *http.Request) bool {
	return r.Method == http.MethodGet && !isUpgrade(r) && r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

// anonymous reports whether only "*" lets the origin of a request in. Then its
// cookies do not count: any page can make a browser send them.
func (p *originPolicy) anonymous(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return p.any && origin != "" && !p.listed(origin) && !p.sameOrigin(r, origin)
}

// exposed are the headers that scripts of other origins may read.
const exposed = "Location, ETag, Link, Push-Cursor, Preference-Applied, Retry-After, WWW-Authenticate"

// cors adds the headers with which browsers let other origins read an answer.
func (p *originPolicy) cors(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		return
	case p.listed(origin):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	case p.any: // never with credentials
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		return
	}
	h.Set("Access-Control-Expose-Headers", exposed)
}

// preflight answers a CORS preflight request.
func (p *originPolicy) preflight(h http.Header, allow string) {
	if h.Get("Access-Control-Allow-Origin") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", allow)
	h.Set("Access-Control-Allow-Headers",
		"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, Push-Connection, Push-Event, Push-Key")
	h.Set("Access-Control-Max-Age", "7200")
}
