package rest_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// plainAccept are lists whose meaning is beyond doubt (RFC 9110 section
// 12.5.1).
var plainAccept = func() *regexp.Regexp {
	const one = ` *[a-z*]+/[a-z.*-]+( *; *q=(0(\.[0-9]{0,3})?|1(\.0{0,3})?))? *`
	return regexp.MustCompile(`^` + one + `(,` + one + `){0,9}$`)
}()

func FuzzAccept(f *testing.F) {
	for _, n := range negotiations {
		for _, h := range n.headers {
			if accept, ok := strings.CutPrefix(h, "Accept: "); ok {
				f.Add(accept)
			}
		}
	}
	f.Add("text/event-stream;q=\"1,\"")
	f.Add(strings.Repeat("a/b,", 100) + "application/json")
	hub := push.New()
	f.Cleanup(func() { _ = hub.Shutdown(f.Context()) })
	h, err := rest.New(rest.Config{Hub: hub, Auth: everybody})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		r := httptest.NewRequest(http.MethodHead, "/topics/wall", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Get("Content-Type")
		switch {
		case w.Code == http.StatusNotAcceptable:
			got = ""
		case w.Code != http.StatusOK || got != typeSSE && got != typeJSON && got != typeNDJSON:
			t.Fatalf("Accept: %q: %d %s", accept, w.Code, got)
		}
		if plainAccept.MatchString(accept) && got != expected(accept) {
			t.Fatalf("Accept: %q: %q, want %q", accept, got, expected(accept))
		}
	})
}

// expected negotiates a plain Accept by the protocol's text, in another way
// than the code does.
func expected(accept string) string {
	quality := map[string]float64{}
	for part := range strings.SplitSeq(accept, ",") {
		name, q, ok := strings.Cut(part, ";")
		value := 1.0
		if ok {
			value, _ = strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(q), "q="), 64)
		}
		name = strings.TrimSpace(name)
		quality[name] = max(quality[name], value)
	}
	allowed := func(names ...string) string {
		for _, name := range names {
			if q, named := quality[name]; !named || q > 0 {
				return name
			}
		}
		return ""
	}
	best := ""
	for _, name := range []string{typeNDJSON, typeJSON, typeSSE} {
		if q := quality[name]; q > 0 && q >= quality[best] {
			best = name
		}
	}
	switch {
	case best != "":
		return best
	case quality["text/html"] > 0:
		return allowed(typeJSON)
	case quality["*/*"] > 0:
		return allowed(typeSSE, typeJSON, typeNDJSON)
	case quality["application/*"] > 0:
		return allowed(typeJSON, typeNDJSON)
	case quality["text/*"] > 0:
		return allowed(typeSSE)
	}
	return ""
}
