package main

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed web
var files embed.FS

// page serves the page and what it needs. It may talk to this server and to the
// identity provider, and to nobody else.
func page(issuer string) http.Handler {
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // it is embedded
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' " + issuer + "; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	serve := http.FileServerFS(web)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // the URL has the code of a log-in for a moment
		h.Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
}
