package rest

import (
	"net/http"

	"github.com/dualpush-go/dualpush/push"
)

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

// Identify does with a request's credentials what every request has done with
// them: which one counts, whether its origin is allowed, who it is, whether it
// was revoked, and whether that one may read topic.
func (h *Handler) Identify(r *http.Request, topic string) error {
	q := &request{Handler: h, r: Redact(r)}
	cred, p := q.credential()
	if p == nil {
		p = q.origins.check(q.r, q.ambient(cred))
	}
	if p != nil {
		return p
	}
	who, err := q.identify(cred)
	if err != nil {
		return err
	}
	if p := h.may(r.Context(), who, push.ActionSub, topic); p != nil {
		return p
	}
	return nil
}
