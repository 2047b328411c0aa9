package rest

import "net/http"

// ClientIP returns what is taken for the address of a request's client.
func ClientIP(r *http.Request, header string, trusted ...string) string {
	p, err := newProxies(trusted, header)
	if err != nil {
		panic(err)
	}
	return p.clientIP(r).String()
}

// Buckets are buckets for tests.
type Buckets struct{ *buckets }

// MaxBuckets is maxBuckets.
const MaxBuckets = maxBuckets

// NewBuckets returns newBuckets.
func NewBuckets(perSecond float64, burst int) Buckets { return Buckets{newBuckets(perSecond, burst)} }

// Take is take, of one token.
func (b Buckets) Take(key string) bool { return b.take(key, 1) == 0 }

// Len returns how many buckets are held.
func (b Buckets) Len() int { return len(b.young) + len(b.old) }
