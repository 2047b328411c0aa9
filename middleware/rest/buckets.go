package rest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets is how many keys a generation of buckets holds.
const maxBuckets = 1 << 14

// buckets are token buckets by key. There are two generations: one that was
// not used for the time in which it fills is full, so that forgetting it
// changes nothing. Above maxBuckets the older generation goes before its time:
// memory is bounded whatever addresses an attacker has, and who is active stays
// known.
type buckets struct {
	rate  rate.Limit
	burst int

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
	since      time.Time // when young began
}

// newBuckets returns buckets of burst tokens that get perSecond new ones, or
// nil, which is no limit, if burst is not positive.
func newBuckets(perSecond float64, burst int) *buckets {
	if burst <= 0 || perSecond <= 0 {
		return nil
	}
	return &buckets{rate: rate.Limit(perSecond), burst: burst}
}

// take takes n tokens, at most all there can be. If there are too few it takes
// none and returns how long that will be so.
func (b *buckets) take(key string, n int) (wait time.Duration) {
	if b == nil {
		return 0
	}
	now := time.Now()
	r := b.of(key, now, true).ReserveN(now, min(n, b.burst))
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// empty returns how long there will be no token, without taking one.
func (b *buckets) empty(key string) (wait time.Duration) {
	if b == nil {
		return 0
	}
	now := time.Now()
	l := b.of(key, now, false)
	if l == nil {
		return 0
	}
	missing := 1 - l.TokensAt(now)
	return max(0, time.Duration(missing/float64(b.rate)*float64(time.Second)))
}

// of returns the bucket of a key; if there is none it is made, if wanted.
func (b *buckets) of(key string, now time.Time, wanted bool) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := time.Duration(float64(b.burst) / float64(b.rate) * float64(time.Second))
	if b.young == nil || len(b.young) >= maxBuckets || now.Sub(b.since) >= full {
		b.young, b.old, b.since = map[string]*rate.Limiter{}, b.young, now
	}
	l := b.young[key]
	if l == nil {
		l = b.old[key]
	}
	if l == nil && wanted {
		l = rate.NewLimiter(b.rate, b.burst)
	}
	if l != nil {
		b.young[key] = l
	}
	return l
}
