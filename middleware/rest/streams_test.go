package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

func TestStreamBeginsWithRetryAndOpenAtOnce(t *testing.T) {
	s := serve(t, rest.Config{})
	at := s.publish("wall", "old")[0].String()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := s.Client().Do(s.request(ctx, http.MethodGet, "/topics/wall", "", "Accept: */*"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": typeSSE, "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff",
		"Content-Length": "", "Content-Encoding": "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	lines := bufio.NewScanner(res.Body)
	var got []string
	for len(got) < 5 && lines.Scan() {
		if lines.Text() != "" {
			got = append(got, lines.Text())
		}
		if len(got) == 4 {
			s.publish("wall", "new")
		}
	}
	if !strings.HasPrefix(got[0], "retry: ") || got[1] != "id: "+at || got[2] != "event: push.open" || !strings.HasPrefix(got[4], "id: ") {
		t.Errorf("the stream begins with %q", got)
	}
	var data wire.OpenData
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got[3], "data: ")), &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Connection) != 30 || !slices.Equal(data.Topics, []string{"wall"}) || data.Heartbeat != 25000 {
		t.Errorf("push.open says %+v", data)
	}
}

func TestManyTopicsOnOneStreamInOrder(t *testing.T) {
	s := serve(t, rest.Config{})
	for i := range 20 {
		s.publish([]string{"a", "b/1", "b/2", "c"}[i%4], numbers(i, i+1)...)
	}
	r := s.read("envelope", "/events?topic=a&topic=b/*&topic=b/1&after=0")
	for i := range 20 {
		if i%4 == 3 {
			continue // nobody asked for c
		}
		if m := r.next(); m.text != numbers(i, i+1)[0] {
			t.Fatalf("message %s, want %d", m.text, i)
		}
	}
}

func TestHeartbeatCarriesAPositionThatMoves(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		es, start := s.follow("/topics/wall"), time.Now()
		head := s.publish("other", "x")[0].String()
		e := es.expect("push.heartbeat", nil)
		if d := time.Since(start); d > 25*time.Second || e.ID != head {
			t.Errorf("heartbeat after %v at %s, want one within 25 s at %s", d, e.ID, head)
		}
	})
}

func TestHeartbeatOfTheConfig(t *testing.T) {
	inBubble(t, func() rest.Config { return rest.Config{Heartbeat: 3 * time.Second} }, func(t *testing.T, s *site) {
		var data wire.OpenData
		es, start := s.open("/topics/wall"), time.Now()
		es.expect("push.open", &data)
		es.expect("push.heartbeat", nil)
		if d := time.Since(start); d != 3*time.Second || data.Heartbeat != 3000 {
			t.Errorf("heartbeat after %v, push.open says %d ms", d, data.Heartbeat)
		}
	})
}

func TestWriteTimeoutDoesNotCutStreams(t *testing.T) {
	for _, way := range []string{"sse", "ndjson", "push.v1"} {
		synctest.Test(t, func(t *testing.T) {
			s := serveInMemory(t, rest.Config{}, &http.Server{WriteTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second})
			r := s.read(way, "/topics/wall?after=0")
			for i := range 3 {
				time.AfterFunc(15*time.Second, func() { s.publish("wall", numbers(i, i+1)...) })
				if m := r.next(); m.text != numbers(i, i+1)[0] {
					t.Errorf("%s: %q", way, m.text)
				}
			}
			r.close()
		})
	}
}

func TestStreamEndsBeforeTheDeadlineOfItsRequestAndResumes(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		inner := s.Config.Handler
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
			defer cancel()
			inner.ServeHTTP(w, r.WithContext(ctx))
		})
		es, start := s.follow("/topics/wall"), time.Now()
		s.publish("wall", "1")
		es.messages("1")
		var end closeData
		e := es.expect("push.close", &end)
		if d := time.Since(start); d < 5*time.Second || d >= 10*time.Second || end.Code != push.CloseDrain || end.Retry > 100 {
			t.Errorf("push.close %+v after %v, want 1012 and a retry at once, shortly before 10 s", end, d)
		}
		es.ended()
		s.publish("wall", "2")
		s.follow("/topics/wall", "Last-Event-ID: "+e.ID).messages("2")

		c := s.socket("/topics/wall")
		if code, _ := c.closed(); code != push.CloseDrain {
			t.Errorf("the WebSocket closed with %d", code)
		}
	})
}

func TestClientThatLeavesIsForgotten(t *testing.T) {
	var mu sync.Mutex
	var opened, closed []rest.Connection
	cfg := func() rest.Config {
		note := func(to *[]rest.Connection) func(rest.Connection) {
			return func(c rest.Connection) {
				mu.Lock()
				*to = append(*to, c)
				mu.Unlock()
			}
		}
		return rest.Config{Auth: who, OnOpen: note(&opened), OnClose: note(&closed)}
	}
	inBubble(t, cfg, func(t *testing.T, s *site) {
		for _, way := range []string{"sse", "ndjson", "push.v1"} {
			r := s.read(way, "/events?topic=a&topic=b&after=0")
			s.publish("a", way)
			r.next()
			r.close()
			synctest.Wait()
		}
		es := s.follow("/topics/wall", "User: ann")
		if es.cid != opened[3].ID || opened[3].Subject != "ann" {
			t.Errorf("OnOpen said %+v of %s", opened[3], es.cid)
		}
		es.close()
		synctest.Wait()
		for i, transport := range []string{"sse", "ndjson", "ws"} {
			if opened[i].Transport != transport || closed[i].ID != opened[i].ID || !slices.Equal(opened[i].Topics, []string{"a", "b"}) || opened[i].RemoteAddr == "" {
				t.Errorf("OnOpen %+v OnClose %+v, want %s", opened[i], closed[i], transport)
			}
		}
		if n := s.hub.Subscriptions(); n != 0 || len(closed) != 4 {
			t.Errorf("%d subscriptions are left, %d closed", n, len(closed))
		}
		if log := s.log.String(); log != "" {
			t.Errorf("clients that leave fill the log: %s", log)
		}
	})
}

func TestEveryOpenedConnectionIsClosedOnce(t *testing.T) {
	var mu sync.Mutex
	count := map[string]int{}
	ended := make(chan string, 100)
	s := serve(t, rest.Config{
		OnOpen: func(c rest.Connection) { mu.Lock(); count[c.ID]++; mu.Unlock() },
		OnClose: func(c rest.Connection) {
			mu.Lock()
			count[c.ID]--
			mu.Unlock()
			ended <- c.Transport
		},
	})
	awaitEnd := func() {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("OnClose was not called")
		}
	}
	s.publish("wall", "1")
	for _, way := range []string{"sse", "envelope", "ndjson", "push.v1"} { // the client leaves
		r := s.read(way, "/topics/wall?after=0")
		r.next()
		r.close()
		awaitEnd()
	}
	es, c := s.follow("/topics/wall"), s.socket("/topics/wall") // the server ends it
	s.expect(http.StatusNoContent, s.do(http.MethodDelete, "/connections/"+es.cid, ""))
	s.expect(http.StatusNoContent, s.do(http.MethodDelete, "/connections/"+c.cid, ""))
	if code, _ := c.closed(); code != push.CloseForbidden {
		t.Errorf("closed with %d", code)
	}
	awaitEnd()
	awaitEnd()
	s.raw("GET /push/topics/wall HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n") // it never was one, so nothing was told of it
	if n := s.hub.Subscriptions(); n != 0 || len(ended) != 0 {
		t.Errorf("%d subscriptions are left, %d closed twice", n, len(ended))
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range count {
		if n != 0 {
			t.Errorf("connection %s: opened %+d times more than closed", id, n)
		}
	}
	if len(count) != 6 {
		t.Errorf("%d connections were told of, want 6", len(count))
	}
}

func TestOnOpenThatPanicsLeaksNothing(t *testing.T) {
	inBubble(t, func() rest.Config {
		return rest.Config{MaxConnections: 1, OnOpen: func(rest.Connection) { panic("OnOpen") }}
	}, func(t *testing.T, s *site) {
		for range 3 {
			if res, err := s.Client().Do(s.request(t.Context(), http.MethodGet, "/topics/wall", "")); err == nil {
				res.Body.Close()
				t.Fatalf("%s, though OnOpen panicked", res.Status)
			}
		}
		if n := s.hub.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

// A native EventSource gives up for good at any status but 200.
func TestTemporaryRefusalOfAStreamIsTold(t *testing.T) {
	full := func() rest.Config { return rest.Config{MaxConnections: 1} }
	inBubble(t, full, func(t *testing.T, s *site) {
		s.follow("/topics/wall")
		s.refused(push.CloseOverload)
	})
	inBubble(t, defaults, func(t *testing.T, s *site) {
		s.kill()
		s.refused(push.CloseDrain)
	})
	inBubble(t, func() rest.Config { return rest.Config{Hub: push.NewHub(deaf{push.NewMemory()})} }, func(t *testing.T, s *site) {
		s.refused(push.CloseOverload) // the broker was not reached yet
	})
	inBubble(t, func() rest.Config { return rest.Config{Hub: push.NewHub(forgetful{push.NewMemory()})} }, func(t *testing.T, s *site) {
		synctest.Wait()
		s.refused(push.CloseOverload) // the broker went down
		if log := s.log.String(); !strings.Contains(log, errDown.Error()) {
			t.Errorf("the log does not say what is down: %s", log)
		}
	})
}

// deaf is a broker that cannot be reached.
type deaf struct{ push.Broker }

func (deaf) Head(context.Context) (push.ID, error) { return push.ID{}, errDown }

// forgetful is a broker whose history cannot be reached.
type forgetful struct{ push.Broker }

func (forgetful) History(context.Context, push.Query) (push.Page, error) {
	return push.Page{}, errDown
}

// refused checks how all kinds of streams are refused for now.
func (s *site) refused(code int) {
	s.t.Helper()
	es := s.open("/topics/wall?last=5")
	var end closeData
	es.expect("push.close", &end) // and no push.open
	if end.Code != code || end.Retry < 1 || end.Reason == "" || es.dec.Retry() <= 0 {
		s.t.Errorf("SSE: %+v, retry: %v", end, es.dec.Retry())
	}
	es.ended()

	a := s.do(http.MethodGet, "/topics/wall?last=5", "", "Accept: application/x-ndjson")
	s.expect(http.StatusOK, a)
	var env wire.Envelope
	s.decode(a, &env)
	if env.Event != wire.Close {
		s.t.Errorf("NDJSON: %s", a.body)
	}
	c, res := s.dial("/topics/wall?last=5", "Sec-WebSocket-Protocol: push.v1")
	if c != nil {
		s.t.Fatal("a WebSocket was opened")
	}
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		s.t.Errorf("WebSocket: %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
}

func TestRefusedClientKeepsItsCursor(t *testing.T) {
	s := serve(t, rest.Config{})
	id := s.publish("wall", "1")[0].String()
	s.kill()
	if e := s.open("/topics/wall", "Last-Event-ID: "+id).expect("push.close", nil); e.ID != id {
		t.Errorf("push.close has the id %q, want the client's own %q: it would forget where it was", e.ID, id)
	}
}

func TestHTTP2StreamsAndHasNoWebSocket(t *testing.T) {
	h, s := newHandler(t, rest.Config{})
	s.Server = newHTTP2(h)
	s.start()
	es := s.follow("/topics/wall")
	if es.ProtoMajor != 2 {
		t.Fatalf("%s", es.Proto)
	}
	s.publish("wall", "1")
	es.messages("1")
	es.close()
	page := s.get("/topics/wall")
	s.expect(http.StatusOK, page)
	s.published(s.post("/topics/wall", "2"))
}

func TestPanicKillsItsOwnConnectionOnly(t *testing.T) {
	hub := push.New()
	hub.Handle("**", func(_ context.Context, in *push.Inbound) error {
		if string(in.Event.Data) == `"boom"` {
			panic("handler")
		}
		return nil
	})
	auth := rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
		if r.Header.Get("User") == "boom" {
			panic("auth")
		}
		return who(r)
	})
	s := serve(t, rest.Config{Hub: hub, Auth: auth})
	es, c, sick := s.follow("/topics/wall"), s.socket("/topics/wall"), s.socket("/topics/wall")
	for _, req := range []*http.Request{
		s.request(t.Context(), http.MethodPost, "/topics/wall", `"boom"`),
		s.request(t.Context(), http.MethodGet, "/topics/wall", "", "User: boom"),
		s.request(t.Context(), http.MethodPost, "/connections/"+es.cid+"/messages", `{"action":"publish","data":"boom"}`),
	} {
		if res, err := s.Client().Do(req); !errors.Is(err, io.EOF) {
			if err == nil {
				res.Body.Close()
			}
			t.Errorf("%s %s: %v, want its connection cut", req.Method, req.URL, err)
		}
	}
	sick.send(`{"action":"publish","data":"boom"}`)
	if code, _ := sick.closed(); code != 1011 {
		t.Errorf("the WebSocket whose action panicked closed with %d, want 1011", code)
	}
	s.publish("wall", "alive")
	es.messages("alive")
	if env := c.expect("message", nil); string(env.Data) != `"alive"` {
		t.Errorf("%s", env.Data)
	}
}
