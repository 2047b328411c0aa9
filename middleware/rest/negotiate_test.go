package rest_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

const (
	typeSSE    = "text/event-stream"
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// negotiations are request headers and the type of the answer; "" is 406.
var negotiations = []struct {
	headers []string
	want    string
}{
	{nil, typeSSE}, // curl
	{[]string{"Accept: */*"}, typeSSE},
	{[]string{"Accept: */*;q=0.1"}, typeSSE},
	{[]string{"Accept: "}, typeSSE},
	{[]string{"Accept: */*", "Sec-Fetch-Dest: empty"}, typeJSON}, // a bare fetch
	{[]string{"Sec-Fetch-Dest: document"}, typeJSON},
	{[]string{"Accept: */*", "Prefer: wait=5"}, typeJSON},
	{[]string{"Prefer: wait=5"}, typeJSON},
	{[]string{"Prefer: respond-async, wait=5"}, typeJSON},
	{[]string{"Prefer: wait=0"}, typeSSE},
	{[]string{"Prefer: wait=x"}, typeSSE},
	{[]string{"Prefer: await=5"}, typeSSE},

	{[]string{"Accept: text/event-stream"}, typeSSE},
	{[]string{"Accept: text/event-stream", "Sec-Fetch-Dest: empty"}, typeSSE}, // EventSource
	{[]string{"Accept: text/event-stream", "Prefer: wait=5"}, typeSSE},
	{[]string{"Accept: TEXT/Event-Stream; charset=utf-8"}, typeSSE},
	{[]string{"Accept: application/json"}, typeJSON},
	{[]string{"Accept: application/x-ndjson"}, typeNDJSON},

	{[]string{"Accept: application/json, text/event-stream"}, typeSSE}, // a tie: the order of the table
	{[]string{"Accept: application/x-ndjson, application/json"}, typeJSON},
	{[]string{"Accept: application/x-ndjson, text/event-stream"}, typeSSE},
	{[]string{"Accept: application/json;q=0.5, application/x-ndjson;q=0.5"}, typeJSON},
	{[]string{"Accept: text/event-stream;q=0.5, application/json"}, typeJSON},
	{[]string{"Accept: application/json;q=0.9, application/x-ndjson"}, typeNDJSON},
	{[]string{"Accept: application/json;q=0.001, */*"}, typeJSON}, // what is named goes first
	{[]string{"Accept: image/png", "Accept: application/json"}, typeJSON},

	{[]string{"Accept: text/html"}, typeJSON}, // a person
	{[]string{"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}, typeJSON},
	{[]string{"Accept: text/html, text/event-stream;q=0.1"}, typeSSE},
	{[]string{"Accept: text/html;q=0, */*"}, typeSSE},
	{[]string{"Accept: application/*"}, typeJSON},
	{[]string{"Accept: text/*"}, typeSSE},

	{[]string{"Accept: text/event-stream;q=0, */*"}, typeJSON}, // q=0 is never (RFC 9110 section 12.4.2)
	{[]string{"Accept: application/json;q=0, */*", "Sec-Fetch-Dest: empty"}, typeSSE},
	{[]string{"Accept: application/json;q=0, text/html"}, ""},
	{[]string{"Accept: application/json;q=0, application/*"}, typeNDJSON},
	{[]string{"Accept: text/event-stream;q=0, text/*"}, ""},
	{[]string{"Accept: application/json;q=0"}, ""},
	{[]string{"Accept: text/event-stream;q=0, application/json;q=0, application/x-ndjson;q=0, */*"}, ""},
	{[]string{"Accept: */*;q=0"}, ""},
	{[]string{"Accept: image/png"}, ""},
	{[]string{"Accept: application/xml, image/*"}, ""},
	{[]string{"Accept: application/jsonp"}, ""},
}

func TestNegotiation(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("wall", "1")
	for _, path := range []string{"/topics/wall?after=0", "/events?topic=wall&topic=news/*&after=0"} {
		for _, n := range negotiations {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				status, ct := s.peek(method, path, n.headers...)
				want := http.StatusOK
				if n.want == "" {
					want = http.StatusNotAcceptable
				}
				if status != want || n.want != "" && ct != n.want {
					t.Errorf("%s %s %q: %d %s, want %d %s", method, path, n.headers, status, ct, want, n.want)
				}
			}
		}
	}
	if n := s.hub.Subscriptions(); n > 2*len(negotiations) {
		t.Errorf("%d subscriptions: HEAD opened some", n)
	}
}

// peek returns status and type of an answer that may not end.
func (s *site) peek(method, path string, headers ...string) (status int, contentType string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req := s.request(ctx, method, path, "", headers...)
	res, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	s.checkVary(req, res)
	return res.StatusCode, res.Header.Get("Content-Type")
}

// checkVary: a cache that does not see it would serve a stream to who asked for
// JSON, or one visitor's answer to another (failures, row 60).
func (s *site) checkVary(req *http.Request, res *http.Response) {
	s.t.Helper()
	vary := strings.Split(strings.Join(res.Header.Values("Vary"), ", "), ", ")
	for _, name := range []string{"Accept", "Prefer", "Sec-Fetch-Dest", "Authorization", "Cookie", "Origin"} {
		if !slices.Contains(vary, name) {
			s.t.Errorf("%s %s: %s without Vary: %s", req.Method, req.URL, res.Status, name)
		}
	}
}

func TestNotAcceptableSaysWhatIsOffered(t *testing.T) {
	s := serve(t, rest.Config{})
	detail := s.expect(http.StatusNotAcceptable, s.do(http.MethodGet, "/topics/wall", "", "Accept: image/png"))
	for _, offered := range []string{typeSSE, typeJSON, typeNDJSON, "WebSocket"} {
		if !strings.Contains(detail, offered) {
			t.Errorf("detail %q does not offer %s", detail, offered)
		}
	}
}

func TestUnknownFormatIsRefused(t *testing.T) {
	s := serve(t, rest.Config{})
	s.expect(http.StatusBadRequest, s.do(http.MethodGet, "/topics/wall?format=xml", ""))
}

func TestVaryIsOnEveryAnswer(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("wall"), push.Pub("wall"))})
	s.publish("wall", "1")
	etag := s.get("/topics/wall").Header.Get("Etag")
	for _, a := range []answer{
		s.get("/topics/wall"), s.get("/topics/wall", "If-None-Match: "+etag), s.get("/topics/other"), s.get("/nothing"), s.get("/topics/a//b"),
		s.get("/topics/wall?id=x"), s.post("/topics/wall", "x"), s.post("/topics/other", "x"), s.post("/topics/wall", "x", "Content-Encoding: gzip"),
		s.do(http.MethodPut, "/topics/wall", ""), s.do(http.MethodOptions, "/topics/wall", ""), s.get("/connections/x/subscriptions"),
		s.post("/topics/wall", "x", "Origin: http://evil.example"),
	} {
		s.checkVary(a.Request, a.Response)
		if a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s without nosniff", a.what, a.Status)
		}
	}
}

func TestHeadOfAStreamIsItsHeadersAtOnce(t *testing.T) {
	s := serve(t, rest.Config{MaxConnections: 1})
	for range 3 { // takes no place
		a := s.do(http.MethodHead, "/topics/wall", "")
		s.expect(http.StatusOK, a)
		for name, want := range map[string]string{
			"Content-Type": typeSSE, "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("HEAD: %s: %q, want %q", name, got, want)
			}
		}
	}
	if n := s.hub.Subscriptions(); n != 0 {
		t.Errorf("HEAD left %d subscriptions", n)
	}
	s.publish("wall", "1")
	head, get := s.do(http.MethodHead, "/topics/wall", "", "Accept: application/json"), s.get("/topics/wall")
	if head.Header.Get("Etag") != get.Header.Get("Etag") || head.Header.Get("Content-Type") != typeJSON || head.body != "" {
		t.Errorf("HEAD of a page: %v %q, want the headers of GET", head.Header, head.body)
	}
}

func TestHeadDoesNotWait(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		start := time.Now()
		path := "/topics/wall?after=" + s.hub.Position().String()
		s.expect(http.StatusOK, s.do(http.MethodHead, path, "", "Accept: application/json", "Prefer: wait=25"))
		if d := time.Since(start); d != 0 {
			t.Errorf("HEAD waited %v", d)
		}
	})
}

func TestMethodNotAllowedNamesThoseThatAre(t *testing.T) {
	s := serve(t, rest.Config{})
	for path, allow := range map[string]string{
		"/topics/wall":                 "GET, HEAD, POST, OPTIONS",
		"/events?topic=wall":           "GET, HEAD, OPTIONS",
		"/connections/x":               "DELETE, OPTIONS",
		"/connections/x/subscriptions": "GET, HEAD, PATCH, OPTIONS",
		"/connections/x/messages":      "POST, OPTIONS",
		"/connections/x/credentials":   "PUT, OPTIONS",
	} {
		options := s.do(http.MethodOptions, path, "")
		s.expect(http.StatusNoContent, options)
		if got := options.Header.Get("Allow"); got != allow {
			t.Errorf("OPTIONS %s: Allow %q, want %q", path, got, allow)
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} {
			if strings.Contains(allow, method) {
				continue
			}
			a := s.do(method, path, "")
			if detail := s.expect(http.StatusMethodNotAllowed, a); !strings.Contains(detail, method) || a.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %q, Allow %q", method, path, detail, a.Header.Get("Allow"))
			}
		}
	}
}

func TestUnknownResourceSaysWhatThereIs(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, path := range []string{"", "/", "/topics", "/topics/", "/events/", "/events/x", "/topic/wall", "/connections", "/connections/", "/connections/x/y"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			if detail := s.expect(http.StatusNotFound, s.do(method, path, "")); !strings.Contains(detail, "/push/topics/{topic}") {
				t.Errorf("%s %s: %q", method, path, detail)
			}
		}
	}
}
