package rest

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

// Limits bound what one client can do, by its subject and by its address: an
// IPv4 address or an IPv6 /64. In every field 0 is the default and a negative
// number no limit. Who is above one gets 429 with Retry-After; a stream is told
// to come back. Anonymous visitors have no subject. Loopback peers are limited
// by subject only: behind a local proxy that is not in TrustedProxies they
// would be everybody.
//
// The limits are of this process, and what it remembers for them is bounded.
type Limits struct {
	// Connections are the streams and waiting polls of one subject.
	// Optional. Default 64.
	Connections int

	// AddressConnections are those of one address.
	// Optional. Default 1000.
	AddressConnections int

	// ConnectionMessages are the actions a second of one connection, by frames
	// or by requests; three times as many at once.
	// Optional. Default 20.
	ConnectionMessages int

	// Messages are the events and actions a second of one subject, over all
	// its connections and requests; four times as many at once.
	// Optional. Default 50.
	Messages int

	// AddressMessages are those of one address.
	// Optional. Default 200.
	AddressMessages int

	// Tickets are how many one subject can get a minute.
	// Optional. Default 60.
	Tickets int

	// AuthFailures are the 401s a minute after which an address is not looked
	// at any more until their number has fallen.
	// Optional. Default 60.
	AuthFailures int
}

func (l *Limits) setDefaults() {
	for _, f := range []struct {
		field     *int
		otherwise int
	}{
		{&l.Connections, 64}, {&l.AddressConnections, 1000}, {&l.ConnectionMessages, 20}, {&l.Messages, 50}, {&l.AddressMessages, 200},
		{&l.Tickets, 60}, {&l.AuthFailures, 60},
	} {
		if *f.field == 0 {
			*f.field = f.otherwise
		}
	}
}

// caller is whom limits are about. Both fields may be empty: no limit then.
type caller struct{ subject, address string }

// limiter holds a mount's limits.
type limiter struct {
	Limits

	messages, addressMessages *buckets
	tickets                   *buckets
	failures                  *buckets
}

// connection returns the rate and burst of one connection's actions.
func (l *limiter) connection() (perSecond float64, burst int) {
	if l.ConnectionMessages < 0 {
		return math.MaxInt32, math.MaxInt32
	}
	return float64(l.ConnectionMessages), 3 * l.ConnectionMessages
}

func newLimiter(l Limits) *limiter {
	l.setDefaults()
	return &limiter{
		Limits:   l,
		messages: newBuckets(float64(l.Messages), 4*l.Messages), addressMessages: newBuckets(float64(l.AddressMessages), 4*l.AddressMessages),
		tickets: newBuckets(float64(l.Tickets)/60, l.Tickets), failures: newBuckets(float64(l.AuthFailures)/60, l.AuthFailures),
	}
}

// message counts n events or actions of a caller.
func (l *limiter) message(c caller, n int) *Problem {
	if p := limited(l.messages, c.subject, n, "messages"); p != nil {
		return p
	}
	return limited(l.addressMessages, c.address, n, "messages from this address")
}

// ticket counts a ticket of a caller; of an anonymous one by its address.
func (l *limiter) ticket(c caller) *Problem {
	if c.subject == "" {
		c.subject = c.address
	}
	return limited(l.tickets, c.subject, 1, "tickets")
}

// shutOut refuses an address that has failed to authenticate too often.
func (l *limiter) shutOut(address string) *Problem {
	if address == "" {
		return nil
	}
	return tooMany("requests from this address whose credentials were not valid", l.failures.empty(address))
}

// failed counts a request whose credentials were not valid.
func (l *limiter) failed(address string) {
	if address != "" {
		l.failures.take(address, 1)
	}
}

func limited(b *buckets, key string, n int, what string) *Problem {
	if key == "" {
		return nil
	}
	return tooMany(what, b.take(key, n))
}

func tooMany(what string, wait time.Duration) *Problem {
	if wait <= 0 {
		return nil
	}
	return problemf(http.StatusTooManyRequests, "too many %s: wait a little", what).retryAfter(wait)
}

// counts are how many connections each caller has open.
type counts map[string]int

func (c counts) add(key string, n int) {
	if key == "" {
		return
	}
	if c[key] += n; c[key] == 0 {
		delete(c, key)
	}
}

// full refuses one more, where most is not negative.
func (c counts) full(key string, most int, whose string) *Problem {
	if key == "" || most < 0 || c[key] < most {
		return nil
	}
	return problemf(http.StatusTooManyRequests, "%s has %d connections open, which is the limit: close one", whose, most).retryAfter(retryBusy)
}

// warnForwarded says once that a proxy is in front which nobody trusts.
func (h *Handler) warnForwarded(r *http.Request) {
	if r.Header.Get(h.proxies.header) == "" || len(h.proxies.trusted) > 0 || h.proxies.unix || r.Context().Value(clientIPKey{}) != nil {
		return
	}
	h.untrusted.Do(func() {
		h.cfg.Logger.Warn(fmt.Sprintf("push: requests come with %s, but TrustedProxies is not set: limits by address take all that come through "+
			"one proxy for one client; set TrustedProxies to the proxy's address", h.proxies.header), "peer", r.RemoteAddr)
	})
}
