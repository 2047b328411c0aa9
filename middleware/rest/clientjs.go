package rest

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/client"
)

// clientFile serves the browser client, to anybody: a page loads it before it
// has credentials. It reports whether path is one of its files.
func (q *request) clientFile(path string) bool {
	file, ok := client.Files[strings.TrimPrefix(path, "/")]
	if !ok || q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return false
	}
	h := q.w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-cache") // a new server brings its new client
	h.Set("Etag", file.ETag)
	http.ServeContent(q.w, q.r, "", time.Time{}, bytes.NewReader(file.Body))
	return true
}
