package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// Ways around a check of the topic (failures, row 59): each is refused, or the
// same topic for whoever checks and whoever serves.
var bypasses = map[string]string{ // escaped path below topics/ → topic, "" is 400
	"secret": "secret", "s%65cret": "secret", "%73%65%63%72%65%74": "secret",
	"public%2F..%2Fsecret": "", "public%2fx": "", "public%252Fx": "", "public%252fx": "", "public%25": "", "secret%2500": "",
	"public/../secret": "", "public/%2e%2e/secret": "", "public/%2E./secret": "", "public/.%2e/secret": "", "./secret": "", "public/.": "", "%2e/secret": "",
	"/secret": "", "public//secret": "", "secret/": "", "//secret": "", "%2Fsecret": "", "public/x%2F": "",
	"secret%00": "", "%00secret": "", "public%00/secret": "", "secret%0A": "", "secret%0D%0A": "", "secret%7F": "", "secret%C2%85": "", "secret%09": "",
	"%FF": "", "secret%C0%AF": "", "%ED%A0%80": "", "secret%F4%90%80%80": "",
	"public%5C..%5Csecret": "", "*": "", "%2A": "", "**": "", "public/*": "", "%7B": "", "x%7D": "", "%5C": "",
	"$presence/x": "", "%24presence/x": "", "x/$y": "x/$y",
	"u%CC%88": "", "%C3%BC": "ü", "%E2%84%AA": "", "K": "K", "%EF%AC%81": "ﬁ", "e%CC%81": "", "%C3%A9": "é", "%D1%81ecret": "сecret",
	"secret%E2%80%8B": "", "%E2%80%AEsecret": "", "%EF%BB%BFsecret": "", "secret%C2%AD": "", "a%E2%80%A8b": "", "a%E2%80%A9b": "",
	"SECRET": "SECRET", "secret%20": "secret ", "secret.": "secret.", "...": "...", "public;secret": "public;secret", "secret+": "secret+",
	"secret%3Fx": "secret?x",
}

func TestWhatIsAuthorisedIsWhatIsServed(t *testing.T) {
	for path, topic := range bypasses {
		visitor := rest.Public() // may do nothing
		if topic != "" {
			visitor = rest.Public(push.Sub(topic), push.Pub(topic))
		}
		s := serve(t, rest.Config{Auth: visitor})
		s.publish("secret", "s3cret")
		raw := s.raw("POST /push/topics/" + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine")
		if topic == "" {
			if !strings.HasPrefix(raw, "HTTP/1.1 400 ") {
				t.Errorf("POST to %s: %.80q, want 400", path, raw)
			}
			continue
		}
		if !strings.HasPrefix(raw, "HTTP/1.1 201 ") {
			t.Errorf("POST to %s by who may publish to %q: %.80q", path, topic, raw)
		}
		p, err := s.hub.History(context.Background(), push.Query{Topics: []string{topic}, Limit: 1, Latest: true})
		if err != nil || len(p.Events) != 1 || string(p.Events[0].Data) != "mine" || p.Events[0].Topic != topic {
			t.Errorf("POST to %s is not under %q: %+v", path, topic, p.Events)
		}
	}
}

func TestNoSpellingOfAPathReadsWhatIsNotGranted(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("public/**"), push.Sub("*/public"))})
	s.publish("secret", "s3cret")
	for path := range bypasses {
		for _, accept := range []string{typeJSON, typeSSE} {
			raw := s.raw("GET /push/topics/" + path + "?after=0 HTTP/1.1\r\nHost: x\r\nAccept: " + accept + "\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(raw, "HTTP/1.1 40") || strings.Contains(raw, "s3cret") {
				t.Errorf("GET %s: %.300q", path, raw)
			}
		}
		query := s.get("/events?after=0&topic=" + strings.ReplaceAll(path, "+", "%2B"))
		if query.StatusCode == http.StatusOK && strings.Contains(query.body, "s3cret") {
			t.Errorf("/events?topic=%s: %s", path, query.body)
		}
	}
}

func TestPatternReadsOnlyWhatGrantsCover(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("rooms/*"), push.Sub("news/**"))})
	s.publish("rooms/1", "in")
	s.publish("rooms/1/secret", "out")
	for topic, status := range map[string]int{
		"rooms/1": 200, "rooms/*": 200, "news/**": 200, "news": 200, "news/*/x": 200,
		"rooms": 403, "rooms/**": 403, "**": 403, "*": 403, "*/1": 403, "rooms/*/*": 403, "new": 403,
	} {
		a := s.get("/events?topic=" + url.QueryEscape(topic) + "&after=0")
		if a.StatusCode != status || strings.Contains(a.body, "out") {
			t.Errorf("%s: %d, want %d: %s", topic, a.StatusCode, status, a.body)
		}
	}
	detail := s.expect(http.StatusForbidden, s.get("/events?topic=rooms/1&topic=secret&topic=other/*"))
	if !strings.Contains(detail, "secret") || !strings.Contains(detail, "other/*") || strings.Contains(detail, "rooms/1") {
		t.Errorf("403 says %q, want what is denied and nothing else", detail)
	}
}

func TestPathTopicOfALiveRoute(t *testing.T) {
	for _, path := range []string{"", "/"} {
		if _, err := rest.PathTopic(path); err == nil || !strings.Contains(err.Error(), "LiveConfig.Topic") {
			t.Errorf("%q: %v does not say the fix", path, err)
		}
	}
}

// reference finds the topic of an escaped path in another way than the code
// does, or "".
func reference(escaped string) string {
	var segments []string
	for seg := range strings.SplitSeq(escaped, "/") {
		raw, err := url.PathUnescape(seg)
		if err != nil || raw == "" || strings.ContainsAny(raw, "/%") {
			return ""
		}
		segments = append(segments, raw)
	}
	topic := strings.Join(segments, "/")
	if push.CheckTopic(topic) != nil || norm.NFC.String(topic) != topic {
		return ""
	}
	return topic
}

func FuzzPathTopic(f *testing.F) {
	for path := range bypasses {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		want := reference(escaped)
		got, err := rest.PathTopic("/" + escaped)
		if got != want || (err == nil) != (want != "") {
			t.Fatalf("PathTopic(%q) = %q, %v; want %q", escaped, got, err, want)
		}
		u, err := url.ParseRequestURI("/push/topics/" + escaped)
		if err != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
			return // not a path to an HTTP server
		}
		published := publishAs(t, u, want)
		if want == "" {
			if published {
				t.Fatalf("%q was published to, but is no topic", escaped)
			}
			return
		}
		again := make([]string, 0, 16)
		for seg := range strings.SplitSeq(got, "/") {
			again = append(again, url.PathEscape(seg))
		}
		if back, err := rest.PathTopic("/" + strings.Join(again, "/")); err != nil || back != got {
			t.Fatalf("%q escaped again is %q: %v", got, back, err)
		}
		if !published {
			t.Fatalf("%q: who may publish to %q may not", escaped, want)
		}
	})
}

// publishAs publishes to a URL with a grant for topic only, and reports
// whether an event is under that topic then; any other topic is fatal.
func publishAs(t *testing.T, u *url.URL, topic string) bool {
	t.Helper()
	hub := push.New()
	defer hub.Shutdown(context.Background())
	grants := []push.Grant{}
	if topic != "" {
		grants = append(grants, push.Pub(topic))
	}
	h, err := rest.New(rest.Config{Hub: hub, Auth: rest.Public(grants...), Prefix: "/push"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, &http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
	p, err := hub.History(context.Background(), push.Query{Topics: []string{"**"}})
	if err != nil || len(p.Events) > 1 || len(p.Events) == 1 && p.Events[0].Topic != topic {
		t.Fatalf("%s: %d, in the log %+v", u, w.Code, p.Events)
	}
	if ok := w.Code == http.StatusCreated; ok != (len(p.Events) == 1) {
		t.Fatalf("%s: %d with %d events in the log", u, w.Code, len(p.Events))
	}
	return len(p.Events) == 1
}
