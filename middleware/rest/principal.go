package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Principal is who a request comes from and what it may do. It is immutable.
type Principal struct {
	Subject string // "" is an anonymous visitor
	Grants  []push.Grant

	Expires  time.Time // when the credential runs out; zero: never
	IssuedAt time.Time // when it was made; zero: unknown, which is before any revocation
	Issuer   string    // who made it
	Session  string    // the log-in that it belongs to (sid), for revocations
	TokenID  string    // its own name (jti), for revocations
	KeyID    string    // the key that signed it (kid), for logs

	// Claims are what else it says, for Config.Authorize; may be nil. They come
	// back as JSON has them from tickets and from other nodes.
	Claims map[string]any
}

// Allows reports whether a grant of the principal allows action on a topic, or
// on all topics of a pattern.
func (p *Principal) Allows(action push.Action, topic string) bool {
	for _, g := range p.Grants {
		if g.Allows(action, topic) {
			return true
		}
	}
	return false
}

// key tells subjects apart, also those of different issuers that have one name.
// It is empty for an anonymous visitor.
func (p *Principal) key() string {
	if p.Subject == "" {
		return ""
	}
	return p.Issuer + " " + p.Subject
}

// sameAs reports whether both are the same person, or both anonymous.
func (p *Principal) sameAs(o *Principal) bool { return p.Subject == o.Subject && p.Issuer == o.Issuer }

func (p *Principal) expired(now time.Time) bool { return !p.Expires.IsZero() && !now.Before(p.Expires) }

// fingerprint is a name of s for logs and keys that does not tell s.
func fingerprint(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
