package ws

import "time"

// bucket is a token bucket, as the time at which it is full again (GCRA): it
// needs no timer and no more than this. One goroutine at a time uses it.
type bucket struct {
	full  time.Duration // by the clock of now
	every time.Duration // one token
	burst time.Duration // how far full may lie ahead
}

func newBucket(rate float64, burst int) bucket {
	every := time.Duration(float64(time.Second) / rate)
	return bucket{every: every, burst: every * time.Duration(burst)}
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Duration) bool {
	full := max(b.full, now) + b.every
	if full-now > b.burst {
		return false
	}
	b.full = full
	return true
}
