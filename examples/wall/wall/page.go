package wall

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed web
var files embed.FS

// contentPolicy lets the page load and call what this server has, and nothing
// else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// web returns the files of the wall's page.
func web() fs.FS {
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // it is embedded
	}
	return web
}

// Page serves the files of a page, with headers that keep everything else out of
// it.
func Page(files fs.FS) http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache") // a new wall shows its new page
		serve.ServeHTTP(w, r)
	})
}
