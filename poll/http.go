package poll

import (
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"net/http"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

// The Cache-Control of a page: a shared cache may not keep one, and a browser
// asks each time, but for a page that is fixed.
const (
	NoCache   = "private, no-cache"
	Immutable = "private, max-age=3600, immutable" // RFC 8246
)

// Write answers with a page: 304 if the client has it already.
func Write(w http.ResponseWriter, r *http.Request, p *Page) error {
	p.keepPosition(r)
	body := append(p.AppendJSON(nil), '\n')
	etag := p.tag(body)
	h := w.Header()
	h.Set("Etag", etag)
	h.Set("Cache-Control", NoCache)
	if p.Fixed {
		h.Set("Cache-Control", Immutable)
	}
	if Matches(r, etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}

// emptyTag begins the entity tag of an empty page, which names its position.
const emptyTag = `"at-`

// tag returns a strong entity tag: equal tags mean equal bytes (RFC 9110
// section 8.8.1).
func (p *Page) tag(body []byte) string {
	if p.empty() {
		return emptyTag + p.Last.String() + `"`
	}
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

func (p *Page) empty() bool { return len(p.Items) == 0 && p.Gap == nil }

// keepPosition gives an empty page the position of the empty page that the
// client has, as its If-None-Match says. Both are true; but the newest one
// moves with every event of other topics, and would make a page anew of which
// nothing has changed.
func (p *Page) keepPosition(r *http.Request) {
	if !p.empty() {
		return
	}
	for tag := range tags(r) {
		cursor, ok := strings.CutPrefix(strings.TrimSuffix(tag, `"`), emptyTag)
		id, err := push.ParseID(cursor)
		if ok && err == nil && id.Epoch == p.Last.Epoch && p.after.Seq <= id.Seq && id.Seq <= p.Last.Seq {
			p.First, p.Last = id, id
			return
		}
	}
}

// Known reports whether the client has the page already, as its If-None-Match
// says.
func (p *Page) Known(r *http.Request) bool {
	same := *p
	same.keepPosition(r)
	return Matches(r, same.tag(append(same.AppendJSON(nil), '\n')))
}

// Matches reports whether If-None-Match names the entity tag, by the weak
// comparison of RFC 9110 section 13.1.2.
func Matches(r *http.Request, etag string) bool {
	for tag := range tags(r) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// tags are the entity tags of If-None-Match.
func tags(r *http.Request) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, field := range r.Header.Values("If-None-Match") {
			for tag := range strings.SplitSeq(field, ",") {
				if !yield(strings.TrimSpace(tag)) {
					return
				}
			}
		}
	}
}
