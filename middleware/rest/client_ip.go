package rest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the peers whose word on a request's origin is taken.
type proxies struct {
	trusted []netip.Prefix
	unix    bool   // peers on a Unix socket are trusted
	header  string // canonical: X-Forwarded-For or Forwarded
}

func newProxies(cidrs []string, header string) (proxies, error) {
	p := proxies{header: http.CanonicalHeaderKey(header)}
	if header == "" {
		p.header = "X-Forwarded-For"
	}
	if p.header != "X-Forwarded-For" && p.header != "Forwarded" {
		return p, fmt.Errorf("rest: Config.ProxyHeader %q: X-Forwarded-For and Forwarded are possible", header)
	}
	for _, s := range cidrs {
		if s == "unix" {
			p.unix = true
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, addrErr := netip.ParseAddr(s)
			if addrErr != nil {
				return p, fmt.Errorf("rest: trusted proxy %q: give an address, a CIDR, e.g. 10.0.0.0/8, or unix", s)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		p.trusted = append(p.trusted, prefix)
	}
	return p, nil
}

// trusts reports whether a peer is trusted. One on a Unix socket has no
// address.
func (p *proxies) trusts(addr netip.Addr) bool {
	if !addr.IsValid() {
		return p.unix
	}
	for _, t := range p.trusted {
		if t.Contains(addr) {
			return true
		}
	}
	return false
}

// clientIP returns the address of a request's client: the peer or, if that is
// a trusted proxy, the rightmost address of the header that is none. Whatever
// stands to the left of it a client can have made up.
func (p *proxies) clientIP(r *http.Request) netip.Addr {
	if ip, ok := r.Context().Value(clientIPKey{}).(netip.Addr); ok {
		return ip
	}
	ip := parseIP(r.RemoteAddr)
	if !p.trusts(ip) {
		return ip
	}
	fields := strings.Split(strings.Join(r.Header.Values(p.header), ","), ",")
	for _, field := range slices.Backward(fields) {
		next := parseIP(p.address(field))
		if !next.IsValid() {
			break // nobody knows who that was: whoever passed it on
		}
		if ip = next; !p.trusts(ip) {
			break
		}
	}
	return ip
}

// address returns what an element of the header says of its client.
func (p *proxies) address(field string) string {
	if p.header != "Forwarded" {
		return field
	}
	for pair := range strings.SplitSeq(field, ";") { // RFC 7239 section 4
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// parseIP parses an address with or without a port. It returns the zero Addr
// for what is none.
func parseIP(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

type clientIPKey struct{}

// WithClientIP returns the request with an address that a framework has found
// to be its client's, which then counts in place of TrustedProxies. What is no
// address changes nothing.
func WithClientIP(r *http.Request, ip string) *http.Request {
	addr := parseIP(ip)
	if !addr.IsValid() {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), clientIPKey{}, addr))
}

// addressKey is what limits by address go by: an IPv4 address or an IPv6 /64,
// since who has one address of that has all. Loopback peers have none: they are
// this machine's own, or everybody, behind a proxy that is not trusted.
func addressKey(ip netip.Addr) string {
	switch {
	case !ip.IsValid() || ip.IsLoopback():
		return ""
	case ip.Is6():
		prefix, _ := ip.Prefix(64) // of an IPv6 address: no error
		return prefix.String()
	}
	return ip.String()
}
