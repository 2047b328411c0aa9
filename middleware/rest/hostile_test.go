package rest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// raw sends bytes to the server and returns what comes back until it closes.
func (s *site) raw(request string) string {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		s.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		s.t.Fatalf("%.60q: %v", request, err)
	}
	return string(b)
}

func TestLineBreaksInHeadersReachNoStream(t *testing.T) {
	s := serve(t, rest.Config{})
	es := s.follow("/topics/wall")
	for _, name := range []string{"a\rb", "a\r\n\tb", "a\nid: 1", "a\x00b", "a\r\r\nid: 1", "a\r\n\r\nid: 1", "a\vb", "a\x7fb"} {
		for _, header := range []string{"Push-Event", "Push-Key", "Idempotency-Key"} {
			answer := s.raw("POST /push/topics/wall HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n" + header + ": " + name + "\r\n\r\nx")
			status, _, _ := strings.Cut(strings.TrimPrefix(answer, "HTTP/1.1 "), " ")
			if !slices.Contains([]string{"400", "201", "422"}, status) { // 422: the key was used for another body
				t.Errorf("%s: %q: %.60q", header, name, answer)
			}
		}
	}
	p, err := s.hub.History(context.Background(), push.Query{Topics: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Events {
		if strings.ContainsAny(e.Name+e.Key, "\r\n\x00") {
			t.Errorf("in the log: %q %q", e.Name, e.Key)
		}
		if got := es.next(); got.ID != e.ID.String() || got.Name != wire.EventName(&e) {
			t.Errorf("on the stream: %+v, want %q %s", got, e.Name, e.ID)
		}
	}
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, request := range []string{
		"GET /push/topics/a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /push/topics/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /push/topics/wall HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a\x00b\r\n\r\n",
		"GET /push/topics/wall HTTP/1.1\r\n\r\n",
		"POST /push/topics/wall HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"POST /push/topics/wall HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
	} {
		if answer := s.raw(request); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("%q: %.60q, want 400", request, answer)
		}
	}
}

func TestBodyThatBreaksOffIsNotPublished(t *testing.T) {
	s := serve(t, rest.Config{})
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "POST /push/topics/wall HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	_ = c.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(c)
	_ = c.Close()
	if !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
		t.Errorf("half a body: %.60q", b)
	}
	if p := s.page("/topics/wall"); len(p.Items) != 0 {
		t.Errorf("half a body was published: %v", p.texts())
	}
}

// cost returns what f allocates, in bytes, and how long it takes.
func cost(f func()) (bytes uint64, took time.Duration) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, took
}

func TestMillionTopicsAreRefusedBeforeTheyAreParsed(t *testing.T) {
	s := serve(t, rest.Config{})
	cid := s.follow("/topics/wall").cid
	inURL := strings.Repeat("topic=a&", 120_000)
	inJSON := func(n int) string { return `"` + strings.Repeat(`a","`, n) + `a"` }
	for name, do := range map[string]func() answer{
		"GET":            func() answer { return s.get("/events?" + inURL) },
		"GET other name": func() answer { return s.get("/topics/wall?" + inURL) },
		"escaped name":   func() answer { return s.get("/events?" + strings.Repeat("t%6Fpic=a&", 9_000)) },
		"PATCH": func() answer {
			return s.do(http.MethodPatch, "/connections/"+cid+"/subscriptions", `{"add":[`+inJSON(16_000)+`]}`)
		},
		"POST": func() answer {
			return s.post("/connections/"+cid+"/messages", `{"action":"subscribe","topics":[`+inJSON(16_000)+`]}`)
		},
	} {
		var a answer
		n, took := cost(func() { a = do() })
		detail := s.expect(http.StatusBadRequest, a)
		if !strings.Contains(detail, "topics") && !strings.Contains(detail, "query") {
			t.Errorf("%s: %q does not say what is too much", name, detail)
		}
		if strings.HasPrefix(name, "GET") && !strings.Contains(detail, "120000 topics") {
			t.Errorf("%s: %q: they were parsed", name, detail)
		}
		if n > 24<<20 || took > 2*time.Second {
			t.Errorf("%s: %d MiB and %v to refuse it", name, n>>20, took)
		}
	}
	for _, a := range []answer{
		s.do(http.MethodPatch, "/connections/"+cid+"/subscriptions", `{"add":[`+inJSON(1_000_000)+`]}`),
		s.post("/connections/"+cid+"/messages", `{"action":"subscribe","topics":[`+inJSON(1_000_000)+`]}`),
	} {
		s.expect(http.StatusRequestEntityTooLarge, a)
	}
	var res struct{ Topics []string }
	s.decode(s.get("/connections/"+cid+"/subscriptions"), &res)
	if !slices.Equal(res.Topics, []string{"wall"}) {
		t.Errorf("%d topics after all that", len(res.Topics))
	}
}

func TestTooManyTopicsSaysHowMany(t *testing.T) {
	s := serve(t, rest.Config{MaxTopics: 3})
	four := "/events?topic=a&topic=b&topic=c&topic=d"
	if detail := s.expect(http.StatusBadRequest, s.get(four)); !strings.Contains(detail, "4") || !strings.Contains(detail, "3") {
		t.Errorf("%q", detail)
	}
	if status, _ := s.peek(http.MethodGet, strings.TrimSuffix(four, "&topic=d")); status != http.StatusOK {
		t.Errorf("three of three topics: %d", status)
	}
	c, res := s.dial(four)
	if c != nil || res.StatusCode != http.StatusBadRequest {
		t.Error("a WebSocket with four of three topics")
	}
}

func TestSubscribeFloodIsLimitedAndLeavesNothing(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		es := s.follow("/topics/wall")
		subscriptions := "/connections/" + es.cid + "/subscriptions"
		flood := func() (done int) {
			for i := range 100 {
				add := fmt.Sprintf(`{"add":["room/%d"],"remove":["room/%d"]}`, i, i-1)
				a := s.do(http.MethodPatch, subscriptions, add)
				if a.StatusCode == http.StatusTooManyRequests {
					if s.expect(http.StatusTooManyRequests, a); a.Header.Get("Retry-After") == "" {
						t.Fatal("429 without Retry-After")
					}
					continue
				}
				s.expect(http.StatusOK, a)
				done++
			}
			return done
		}
		if n := flood(); n != 60 {
			t.Errorf("%d of 100 actions at once, want 60", n)
		}
		for _, a := range []answer{s.get(subscriptions), s.post("/connections/"+es.cid+"/messages", "{"), s.do(http.MethodPut,
			"/connections/"+es.cid+"/credentials", "")} {
			s.expect(http.StatusTooManyRequests, a)
		}
		time.Sleep(time.Second)
		if n := flood(); n != 20 {
			t.Errorf("%d of 100 actions a second later, want 20", n)
		}
		time.Sleep(time.Minute)
		var res struct{ Topics []string }
		s.decode(s.get(subscriptions), &res)
		if len(res.Topics) > 3 {
			t.Errorf("topics after the flood: %v", res.Topics)
		}
	})
}

func TestManyClientsAtOnceDoNotDisturbEachOther(t *testing.T) {
	s := serve(t, rest.Config{})
	healthy := s.follow("/topics/wall")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 20 {
				switch i % 4 {
				case 0:
					s.get("/events?topic=*/" + strings.Repeat("x", i*20))
				case 1:
					s.raw("GET /push/topics/wall HTTP/1.1\r\nHost: x\r\nLast-Event-ID: \xff\r\nAccept: image/png\r\nConnection: close\r\n\r\n")
				case 2:
					s.get("/topics/wall?after=" + strings.Repeat("9", 5000))
				case 3:
					s.post("/topics/wall", "{", "Content-Type: application/json")
				}
			}
		})
	}
	wg.Wait()
	s.publish("wall", "alive")
	healthy.messages("alive")
}

// Bytes that are no UTF-8 must not become U+FFFD and with it another topic, or
// another subject to revoke.
func TestBodiesThatAreNotUTF8AreRefused(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		b := i.issue("ann", 0, push.Sub("**"), push.Pub("**"), push.Manage("**"))
		es := s.follow("/topics/wall", b)
		for path, body := range map[string]string{
			"/tickets": `{"topics":["a\xff"]}`, "/revocations": `{"sub":"a\xff"}`, "/batch": `{"events":[{"topic":"a\xff","data":1}]}`,
			"/connections/" + es.cid + "/messages": `{"action":"subscribe","topics":["a\xff"]}`,
		} {
			body = strings.ReplaceAll(body, `\xff`, "\xff")
			if detail := s.expect(http.StatusBadRequest, s.post(path, body, b, "Content-Type: application/json")); !strings.Contains(detail, "UTF-8") {
				t.Errorf("%s: %s", path, detail)
			}
		}
		s.expect(http.StatusBadRequest, s.do(http.MethodPatch, "/connections/"+es.cid+"/subscriptions", "{\"add\":[\"a\xff\"]}", b))
	})
}
