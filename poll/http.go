package poll

import (
	"net/http"
	"strings"
)

// Write answers with a page: 304 if the client has it already.
func Write(w http.ResponseWriter, r *http.Request, p *Page) error {
	etag := p.ETag()
	h := w.Header()
	h.Set("Etag", etag)
	h.Set("Cache-Control", "private, no-cache")
	if Matches(r, etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(append(p.AppendJSON(nil), '\n'))
	return err
}

// Matches reports whether If-None-Match names the entity tag, by the weak
// comparison of RFC 9110 section 13.1.2.
func Matches(r *http.Request, etag string) bool {
	opaque := strings.TrimPrefix(etag, "W/")
	for _, field := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(field, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == opaque {
				return true
			}
		}
	}
	return false
}
