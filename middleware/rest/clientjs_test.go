package rest_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

type nobody struct{}

func (nobody) Authenticate(*http.Request) (*rest.Principal, error) {
	return nil, errors.New("nobody may do anything")
}

func clientMount(t *testing.T, origins ...string) http.Handler {
	t.Helper()
	hub := push.New()
	t.Cleanup(func() { _ = hub.Shutdown(t.Context()) })
	h, err := rest.New(rest.Config{Hub: hub, Auth: nobody{}, Prefix: "/push", Origins: origins})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func getClient(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestClientIsServedBeforeThereAreCredentials(t *testing.T) {
	h := clientMount(t)
	for _, path := range []string{"/push/client.js", "/push/share.js", "/push/eventsource.js"} {
		w := getClient(h, http.MethodGet, path)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || !strings.Contains(w.Body.String(), "export{") {
			t.Errorf("%s: %d, %s, %d bytes", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if head := getClient(h, http.MethodHead, path); head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d with %d bytes", path, head.Code, head.Body.Len())
		}
	}
	if w := getClient(h, http.MethodGet, "/push/client.js.map"); w.Code != http.StatusNotFound {
		t.Errorf("a file that there is not: %d, want 404", w.Code)
	}
}

func TestClientThatTheBrowserHasIs304(t *testing.T) {
	h := clientMount(t)
	first := getClient(h, http.MethodGet, "/push/client.js")
	tag := first.Header().Get("Etag")
	if !strings.HasPrefix(tag, `"`) || first.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("ETag %q, Cache-Control %q", tag, first.Header().Get("Cache-Control"))
	}
	if w := getClient(h, http.MethodGet, "/push/client.js", "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("the same again: %d with %d bytes", w.Code, w.Body.Len())
	}
	if other := getClient(h, http.MethodGet, "/push/share.js").Header().Get("Etag"); other == tag {
		t.Error("two files have one ETag")
	}
}

func TestClientForPagesOfListedOriginsOnly(t *testing.T) {
	h := clientMount(t, "https://app.example.com")
	for origin, want := range map[string]string{"https://app.example.com": "https://app.example.com", "https://evil.example": ""} {
		w := getClient(h, http.MethodGet, "/push/client.js", "Origin", origin)
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("Origin %s: Access-Control-Allow-Origin %q, want %q", origin, got, want)
		}
	}
}
