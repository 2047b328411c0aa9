package direct

import "net/http"

// Innermost walks Unwrap down to the server's own writer: wrappers such as
// Echo's Response claim to be a Flusher and a Hijacker whatever they wrap.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		inner := u.Unwrap()
		if inner == nil {
			return w
		}
		w = inner
	}
}
