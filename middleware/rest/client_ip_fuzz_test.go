package rest_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

// Whatever a client writes into the header: without a trusted proxy it changes
// nothing, and what a trusted proxy appends to it counts.
func FuzzClientIP(f *testing.F) {
	for _, s := range []string{"", "203.0.113.7", "1.1.1.1, 203.0.113.7", "for=203.0.113.7;proto=https", `for="[2001:db8::1]:5"`, "10.0.0.1,10.0.0.2", ",", "for=", "\x00"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, made string, xff bool) {
		header, appended := "Forwarded", "for=203.0.113.9"
		if xff {
			header, appended = "X-Forwarded-For", "203.0.113.9"
		}
		r := &http.Request{RemoteAddr: "198.51.100.1:5", Header: http.Header{header: {made}}}
		if got := rest.ClientIP(r, header, "10.0.0.0/8"); got != "198.51.100.1" {
			t.Errorf("a client that is no proxy said %q and became %s", made, got)
		}
		r.RemoteAddr = "10.0.0.1:5"
		if got := rest.ClientIP(r, header, "10.0.0.0/8"); got != "10.0.0.1" {
			addr, err := netip.ParseAddr(got)
			if err != nil || !strings.Contains(made, got) && !addr.Is6() {
				t.Errorf("a proxy said %q, which became %s", made, got)
			}
		}
		for _, fields := range [][]string{{made + ", " + appended}, {made, appended}} {
			r.Header[header] = fields
			if got := rest.ClientIP(r, header, "10.0.0.0/8"); got != "203.0.113.9" {
				t.Errorf("the client made up %q, the proxy appended %s, which became %s", made, appended, got)
			}
		}
	})
}
