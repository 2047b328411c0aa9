package rest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// published is the answer to a publish.
func (s *site) published(a answer) (id string) {
	s.t.Helper()
	s.expect(http.StatusCreated, a)
	var body struct{ ID string }
	s.decode(a, &body)
	if _, err := push.ParseID(body.ID); err != nil || a.Header.Get("Content-Type") != typeJSON {
		s.t.Fatalf("%s: %s", a.what, a.body)
	}
	return body.ID
}

func TestPublishedEventIsWhereItsLocationSays(t *testing.T) {
	s := serve(t, rest.Config{})
	for topic, path := range map[string]string{
		"wall": "/topics/wall", "a b/ü/x?y#z": "/topics/a%20b/%C3%BC/x%3Fy%23z", "a;b/c,d=e": "/topics/a;b/c,d=e",
	} {
		a := s.post(path, `{"text":"hi"}`, "Content-Type: application/json", "Push-Event: post", "Push-Key: k1")
		id := s.published(a)
		location, ok := strings.CutPrefix(a.Header.Get("Location"), "/push")
		if !ok {
			t.Fatalf("Location: %q", a.Header.Get("Location"))
		}
		var env wire.Envelope
		s.decode(s.get(location), &env)
		if env.ID != id || env.Topic != topic || env.Event != "post" || env.Type != typeJSON || string(env.Data) != `{"text":"hi"}` {
			t.Errorf("at %s: %+v, want what was published to %s", location, env, topic)
		}
		p, err := s.hub.History(context.Background(), push.Query{Topics: []string{topic}})
		if err != nil || len(p.Events) != 1 || p.Events[0].Key != "k1" {
			t.Errorf("in the log of %q: %+v %v", topic, p.Events, err)
		}
	}
}

func TestPublishedBytesArriveAsTheyWere(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, c := range []struct{ contentType, body, wantType string }{
		{"", "text", "text/plain; charset=utf-8"}, {"", "\xff\x00", "application/octet-stream"}, {"", "", "text/plain; charset=utf-8"},
		{"text/plain", "a\r\nb", "text/plain"}, {"application/json; charset=utf-8", "[1,\t2]", "application/json; charset=utf-8"},
		{"application/vnd.x+json", "{}", "application/vnd.x+json"}, {"image/png", "\x89PNG\r\n\x1a\n\x00", "image/png"},
		{"text/plain; charset=iso-8859-1", "\xfc", "text/plain; charset=iso-8859-1"},
	} {
		headers := []string{}
		if c.contentType != "" {
			headers = append(headers, "Content-Type: "+c.contentType)
		}
		s.published(s.post("/topics/wall", c.body, headers...))
		p := s.page("/topics/wall?limit=1")
		e, err := p.Items[0].ToEvent()
		if err != nil || string(e.Data) != c.body || e.ContentType != c.wantType {
			t.Errorf("%q as %q came as %q, type %q, %v", c.body, c.contentType, e.Data, e.ContentType, err)
		}
	}
}

func TestPublishThatBreaksARuleIs400(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, c := range []struct{ path, header, says string }{
		{"/topics/wall", "Push-Event: " + strings.Repeat("x", 129), "128"},
		{"/topics/wall", "Push-Event: \xff", "UTF-8"},
		{"/topics/wall", "Push-Key: " + strings.Repeat("x", 201), "200"},
		{"/topics/wall", "Push-Key: \xff", "UTF-8"},
		{"/topics/wall", "Idempotency-Key: " + strings.Repeat("x", 201), "200"},
		{"/topics/a/../b", "", ".."},
		{"/topics/$presence/wall", "", "reserved"},
		{"/topics/wall/*", "", "topic"},
		{"/topics/" + strings.Repeat("x", 201), "", "200"},
		{"/topics/" + strings.Repeat("x/", 16) + "x", "", "16"},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		if detail := s.expect(http.StatusBadRequest, s.post(c.path, "x", headers...)); !strings.Contains(detail, c.says) {
			t.Errorf("%.30s %.30s: %q does not say %q", c.path, c.header, detail, c.says)
		}
	}
	if p := s.page("/events?topic=**"); len(p.Items) != 0 {
		t.Errorf("refused events are in the log: %v", p.texts())
	}
}

func TestPublishThatIsNotGrantedIs403(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Sub("**"), push.Pub("rooms/*"))})
	s.published(s.post("/topics/rooms/1", "x"))
	for _, topic := range []string{"wall", "rooms", "rooms/1/2"} {
		if detail := s.expect(http.StatusForbidden, s.post("/topics/"+topic, "x")); !strings.Contains(detail, topic) {
			t.Errorf("detail %q does not name %s", detail, topic)
		}
	}
}

func TestPublishAboveTheLimitIs413(t *testing.T) {
	s := serve(t, rest.Config{MaxMessage: 1000})
	s.published(s.post("/topics/wall", strings.Repeat("x", 1000)))
	if detail := s.expect(http.StatusRequestEntityTooLarge, s.post("/topics/wall", strings.Repeat("x", 1001))); !strings.Contains(detail, "1000") {
		t.Errorf("%q does not say the limit", detail)
	}
	chunked := s.request(t.Context(), http.MethodPost, "/topics/wall", "")
	chunked.Body = io.NopCloser(io.LimitReader(endless{}, 1001))
	chunked.ContentLength = -1
	res, err := s.Client().Do(chunked)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("1001 bytes in chunks: %s", res.Status)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestEndlessBodyTakesNoMemory(t *testing.T) {
	s := serve(t, rest.Config{})
	cid := s.follow("/topics/wall").cid
	for method, path := range map[string]string{
		http.MethodPost: "/topics/wall", http.MethodPatch: "/connections/" + cid + "/subscriptions", "post": "/connections/" + cid + "/messages",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		req := s.request(t.Context(), strings.ToUpper(method), path, "")
		req.Body, req.ContentLength = io.NopCloser(io.LimitReader(endless{}, 1<<30)), 1<<30
		if method == http.MethodPatch {
			req.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"add":["`), io.LimitReader(endless{}, 1<<30-9)))
		}
		res, err := s.Client().Do(req)
		if err == nil { // else the server has hung up on it already
			res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s %s of 1 GiB: %s", method, path, res.Status)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s %s of 1 GiB took %d MiB", method, path, n>>20)
		}
	}
}

func TestTypeThatIsNoneIs415(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, ct := range []string{"json", "text/plain; charset", "/", "a/b/c", "text/", "application/json;;;=", "\xff/x"} {
		s.expect(http.StatusUnsupportedMediaType, s.post("/topics/wall", "{}", "Content-Type: "+ct))
	}
	for _, encoding := range []string{"gzip", "br", "identity, gzip"} {
		a := s.post("/topics/wall", "x", "Content-Encoding: "+encoding)
		if s.expect(http.StatusUnsupportedMediaType, a); a.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("415 for %s does not say what is accepted (RFC 9110 section 15.5.16)", encoding)
		}
	}
	s.published(s.post("/topics/wall", "x", "Content-Encoding: identity"))
}

func TestDataThatIsNotOfItsTypeIs422(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, c := range [][2]string{
		{"application/json", "{"}, {"application/json", ""}, {"application/json", "\"\xff\""}, {"application/x+json", "x"},
		{"text/plain", "\xff"}, {"text/html; charset=utf-8", "\xff"}, {"application/xml", "\xff"},
	} {
		s.expect(http.StatusUnprocessableEntity, s.post("/topics/wall", c[1], "Content-Type: "+c[0]))
	}
	for _, name := range []string{"open", "error", "push.open", "push.", "push.x"} {
		if detail := s.expect(http.StatusUnprocessableEntity, s.post("/topics/wall", "x", "Push-Event: "+name)); !strings.Contains(detail, "reserved") {
			t.Errorf("Push-Event: %s: %q", name, detail)
		}
	}
	for _, name := range []string{"opened", "pushx", "message", "a.b", "größe"} {
		s.published(s.post("/topics/wall", "x", "Push-Event: "+name))
	}
}

func TestRefusalOfAnInboundHandlerIsVisibleButNotItsErrors(t *testing.T) {
	hub := push.New()
	s := serve(t, rest.Config{Hub: hub})
	hub.Handle("posts/**", func(_ context.Context, in *push.Inbound) error {
		switch string(in.Event.Data) {
		case "long":
			return push.Refuse("a post has at most %d characters", 280)
		case "broken":
			return errors.New("pq: password authentication failed")
		case "moved":
			in.Event.Topic = "elsewhere"
		}
		in.Event.Data = append(in.Event.Data, '!')
		return nil
	})
	if detail := s.expect(http.StatusUnprocessableEntity, s.post("/topics/posts/1", "long")); detail != "a post has at most 280 characters" {
		t.Errorf("the refusal came as %q", detail)
	}
	if a := s.post("/topics/posts/1", "broken"); a.StatusCode != http.StatusUnprocessableEntity || strings.Contains(a.body, "password") {
		t.Errorf("the handler's own error: %d %s", a.StatusCode, a.body)
	}
	if a := s.post("/topics/posts/1", "moved"); a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "elsewhere") {
		t.Errorf("a handler that moves the event: %d %s", a.StatusCode, a.body)
	}
	if log := s.log.String(); !strings.Contains(log, "elsewhere") {
		t.Errorf("the log does not say what went wrong: %s", log)
	}
	s.published(s.post("/topics/posts/1", "fine"))
	s.published(s.post("/topics/other", "long"))
	if got := s.page("/topics/posts/1").texts(); len(got) != 1 || got[0] != "fine!" {
		t.Errorf("in the log: %v", got)
	}
}

func TestConnectionOfAnInboundEventCannotBeForged(t *testing.T) {
	hub := push.New()
	var seen string
	hub.Handle("**", func(_ context.Context, in *push.Inbound) error { seen = in.ConnID; return nil })
	s := serve(t, rest.Config{Hub: hub, Auth: who})
	own, others := s.follow("/topics/wall", "User: ann").cid, s.follow("/topics/wall", "User: bob").cid
	for named, want := range map[string]string{own: own, others: "", "made up": "", "": ""} {
		s.published(s.post("/topics/wall", "x", "User: ann", "Push-Connection: "+named))
		if seen != want {
			t.Errorf("Push-Connection: %q reached the handler as %q, want %q", named, seen, want)
		}
	}
}

// broken is a broker that is down.
type broken struct{ *push.Memory }

var errDown = errors.New("dial tcp 10.0.0.5:4222: connection refused")

func (broken) Publish(context.Context, ...push.Event) ([]push.ID, error) { return nil, errDown }

func TestBrokerThatIsDownIs503(t *testing.T) {
	b := push.NewMemory()
	s := serve(t, rest.Config{Hub: push.NewHub(broken{b})})
	a := s.post("/topics/wall", "x")
	detail := s.expect(http.StatusServiceUnavailable, a)
	if a.Header.Get("Retry-After") == "" || strings.Contains(detail, "10.0.0.5") {
		t.Errorf("Retry-After %q, detail %q", a.Header.Get("Retry-After"), detail)
	}
	if log := s.log.String(); !strings.Contains(log, "10.0.0.5") {
		t.Errorf("the log does not say what is down: %s", log)
	}
}

func TestPublishAfterCloseIs503(t *testing.T) {
	s := serve(t, rest.Config{})
	s.kill()
	for _, a := range []answer{s.post("/topics/wall", "x"), s.get("/topics/wall"), s.get("/topics/wall?id=" + push.ID{Epoch: 1, Seq: 1}.String())} {
		if s.expect(http.StatusServiceUnavailable, a); a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After", a.what)
		}
	}
}

func TestPublishWorksWhileStreamsDrain(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		es := s.follow("/topics/wall")
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		go func() { done <- s.hub.Shutdown(ctx) }()
		s.published(s.post("/topics/wall", "last words"))
		es.close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
