package rest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

const wall = `{"topics":["wall"]}`

// same are the headers of a page's own EventSource: no Origin.
const same = "Sec-Fetch-Site: same-origin"

func TestTicketOpensAStreamOnce(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		tk := s.ticket(wall, i.issue("ann", 0), own)
		if tk.ExpiresIn != 30 || tk.SSEURL != "https://app.example.com/push/topics/wall?ticket="+tk.Ticket ||
			tk.WSURL != "wss://app.example.com/push/topics/wall" || strings.Join(tk.WSProtocols, " ") != "push.v1 push.ticket."+tk.Ticket {
			t.Errorf("the ticket is %+v", tk.TicketResult)
		}
		es := s.follow(tk.path, same)
		s.publish("wall", "1")
		es.messages("1")
		for range 2 { // a URL that was logged is of no use
			s.expect(http.StatusUnauthorized, s.get(tk.path, same))
			s.expect(http.StatusUnauthorized, s.get(tk.path, same, "Cookie: "+rest.ResumeCookie+"="+strings.Repeat("A", 43)))
			s.expect(http.StatusUnauthorized, s.do(http.MethodGet, tk.path, "", same, "Accept: text/event-stream"))
		}
		s.follow(tk.path, same, tk.cookie).close() // a browser's EventSource reconnects by itself
		s.follow(tk.path, same, tk.cookie, "Last-Event-ID: 0")
		time.Sleep(10*time.Minute - time.Second) // to the end of the token
		s.follow(tk.path, same, tk.cookie)
		time.Sleep(time.Second)
		s.expect(http.StatusUnauthorized, s.get(tk.path, same, tk.cookie))
	})
}

func TestTicketByWebSocket(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		tk := s.ticket(`{"topics":["wall"],"actions":["sub","pub"]}`, i.issue("ann", 0), own)
		c, res := s.dial("/topics/wall", own, "Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: push.ticket."+tk.Ticket)
		if c == nil || c.Subprotocol() != "push.v1" || strings.Contains(fmt.Sprint(res.Header), tk.Ticket) {
			t.Fatalf("the handshake was answered with %s %v", res.Status, res.Header)
		}
		c.expect("push.open", nil)
		if r, _ := c.act(`{"action":"publish","data":1}`); r.Problem != nil {
			t.Errorf("publish: %+v", r.Problem)
		}
		again := []string{own, "Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: push.ticket." + tk.Ticket}
		s.socketRefused(push.CloseUnauthorized, again...)
		if c, res := s.dial("/topics/wall", append(again, tk.cookie)...); c == nil {
			t.Errorf("with the resume cookie: %s", res.Status)
		}
	})
}

// socketRefused checks that a WebSocket is accepted, for a page sees no status,
// and closed at once.
func (s *site) socketRefused(code int, headers ...string) {
	s.t.Helper()
	c, res := s.dial("/topics/wall", headers...)
	if c == nil {
		s.t.Fatalf("%v: %s, want a close code", headers, res.Status)
	}
	if got, reason := c.closed(); got != code || reason == "" {
		s.t.Errorf("%v: closed with %d %q, want %d", headers, got, reason, code)
	}
}

func TestTicketExpires(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer := i.issue("ann", 0)
		early, late := s.ticket(wall, bearer, own), s.ticket(wall, bearer, own)
		time.Sleep(29 * time.Second)
		s.follow(early.path, same)
		time.Sleep(2 * time.Second)
		s.expect(http.StatusUnauthorized, s.do(http.MethodGet, late.path, "", same, late.cookie, "Accept: text/event-stream"))
		s.socketRefused(push.CloseUnauthorized, own, "Sec-WebSocket-Protocol: push.ticket."+late.Ticket, "Sec-WebSocket-Protocol: push.v1")
		c, res := s.dial(late.path, own)
		if c == nil {
			t.Fatalf("?ticket= of a WebSocket: %s", res.Status)
		}
		if code, _ := c.closed(); code != push.CloseUnauthorized {
			t.Errorf("?ticket= of a WebSocket closed with %d", code)
		}
	})
}

// Failure 56: of many who use a ticket at the same time, one does.
func TestTicketRacedByFifty(t *testing.T) {
	i := &issuer{}
	var meet atomic.Pointer[barrier] // so that all of them have seen the ticket before one takes it
	s := serve(t, rest.Config{Auth: i, PublicURL: "https://app.example.com",
		Authorize: func(context.Context, *rest.Principal, push.Action, string) (bool, error) {
			meet.Load().wait()
			return true, nil
		}})
	s.asHost("app.example.com")
	for _, accept := range []string{"application/json", "text/event-stream", "application/x-ndjson"} {
		meet.Store(newBarrier(1))
		tk := s.ticket(wall, i.issue("ann", 0)) // a backend's
		meet.Store(newBarrier(50))
		var all sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for range 50 {
			all.Go(func() {
				status := s.status(tk.path, accept)
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			})
		}
		all.Wait()
		if statuses[http.StatusOK] != 1 || statuses[http.StatusUnauthorized] != 49 {
			t.Errorf("50 requests with one ticket: %v", statuses)
		}
	}
}

// barrier holds whoever comes until n have.
type barrier struct {
	left atomic.Int64
	open chan struct{}
}

func newBarrier(n int64) *barrier {
	b := &barrier{open: make(chan struct{})}
	b.left.Store(n)
	return b
}

func (b *barrier) wait() {
	if b.left.Add(-1) == 0 {
		close(b.open)
	}
	<-b.open
}

// status is that of a GET, of which nothing more is read.
func (s *site) status(path, accept string) int {
	res, err := s.Client().Do(s.request(s.t.Context(), http.MethodGet, path, "", "Accept: "+accept))
	if err != nil {
		s.t.Error(err)
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// A store may keep entries for a while after their time; a ticket does not live
// longer for that.
func TestTicketExpiresThoughTheStoreIsLate(t *testing.T) {
	i := &issuer{}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: push.NewHub(late{push.NewMemory()})}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.settle()
		s.asHost("app.example.com")
		early, over := s.ticket(wall, i.issue("ann", 0), own), s.ticket(wall, i.issue("ann", 0), own)
		time.Sleep(30*time.Second - time.Millisecond)
		s.follow(early.path, same)
		time.Sleep(time.Millisecond)
		s.expect(http.StatusUnauthorized, s.get(over.path, same))
	})
}

// late is a broker whose store is as late as it may be.
type late struct{ push.Broker }

func (b late) Store() push.Store { return lateStore{b.Broker.Store()} }

type lateStore struct{ push.Store }

func (s lateStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Store.Set(ctx, key, value, ttl+push.MaxStoreLag)
}

func TestTicketOfABackendBindsToTheFirstBrowser(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		tk := s.ticket(wall, i.issue("ann", 0))
		if tk.cookie != "" {
			t.Errorf("a backend was given the cookie %q", tk.cookie)
		}
		es := s.follow(tk.path, same)
		cookie := s.resumeCookie(es.Response)
		if cookie == "" {
			t.Fatal("the first use sets no resume cookie")
		}
		s.expect(http.StatusUnauthorized, s.get(tk.path, same))
		s.follow(tk.path, same, cookie)
		s.expect(http.StatusForbidden, s.get(tk.path, cookie, "Origin: https://other.example.com")) // it belongs to the first page's origin

		ws := s.ticket(wall, i.issue("ann", 0))
		_, res := s.dial("/topics/wall", own, "Sec-WebSocket-Protocol: push.v1", "Sec-WebSocket-Protocol: push.ticket."+ws.Ticket)
		if s.resumeCookie(res) == "" {
			t.Error("the 101 sets no resume cookie")
		}
	})
}

func TestOneResumeCookieForABrowserAndSubject(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		ann := i.issue("ann", 0)
		first := s.ticket(wall, ann, own)
		second := s.ticket(wall, i.issue("ann", 0), own, first.cookie)
		if second.cookie != "" {
			t.Error("the second ticket of a browser has another cookie: the first stream could not reconnect any more")
		}
		s.follow(first.path, same, first.cookie)
		s.follow(second.path, same, first.cookie)
		s.follow(first.path, same, first.cookie)
		s.follow(second.path, same, first.cookie)

		// A cookie that somebody else has planted is not taken over.
		bob := s.ticket(wall, i.issue("bob", 0), own, first.cookie)
		if bob.cookie == "" || bob.cookie == first.cookie {
			t.Errorf("bob's ticket is bound to ann's cookie")
		}
		for _, planted := range []string{strings.Repeat("A", 43), "short", ""} {
			if tk := s.ticket(wall, ann, own, "Cookie: "+rest.ResumeCookie+"="+planted); tk.cookie == "" || strings.HasSuffix(tk.cookie, "="+planted) {
				t.Errorf("the cookie %q was kept", planted)
			}
		}
	})
}

// A page that opens two streams fetches two tickets at the same time, before it
// has a cookie: its browser keeps the one that comes last, and both streams have
// to come back with it.
func TestTicketsThatAreFetchedAtOnce(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		first, second := s.ticket(wall, i.issue("ann", 0), own), s.ticket(wall, i.issue("ann", 0), own)
		if first.cookie == "" || second.cookie == "" {
			t.Fatal("without a cookie none was set")
		}
		s.follow(first.path, same, first.cookie)
		s.follow(second.path, same, second.cookie)
		s.follow(first.path, same, second.cookie)
		s.follow(second.path, same, second.cookie)
		other := s.ticket(wall, i.issue("bob", 0), own)
		s.expect(http.StatusUnauthorized, s.get(first.path, same, other.cookie))
	})
}

// Who uses a page's ticket before the page does gets no cookie for it.
func TestStolenTicketGivesNoCookie(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		tk := s.ticket(wall, i.issue("ann", 0), own)
		es := s.follow(tk.path, same)
		if c := s.resumeCookie(es.Response); c != "" {
			t.Errorf("it gave %s", c)
		}
	})
}

func TestTicketWorksWithItsOriginOnly(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer := i.issue("ann", 0)
		const other = "Origin: https://other.example.com"
		for _, c := range []struct {
			issued string
			used   []string
			want   int
		}{
			{own, []string{same}, 200}, {own, []string{own}, 200}, {other, []string{other}, 200},
			{own, nil, 403}, {own, []string{"Sec-Fetch-Site: cross-site"}, 403}, {own, []string{other}, 403}, {own, []string{"Origin: null"}, 403},
			{own, []string{"Origin: http://app.example.com"}, 403}, {own, []string{"Origin: https://app.example.com.evil"}, 403},
			{other, []string{same}, 403}, {other, []string{own}, 403}, {other, nil, 403},
		} {
			tk := s.ticket(wall, bearer, c.issued)
			a := s.get(tk.path, append(c.used, tk.cookie)...)
			s.expect(c.want, a)
			if c.want == 200 {
				s.expect(200, s.get(tk.path, append(c.used, tk.cookie)...))
			}
		}
	})
}

// A ticket that was not of use is not used up.
func TestTemporaryRefusalsAndHeadSpendNothing(t *testing.T) {
	i := &issuer{}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", MaxConnections: 1, Limits: rest.Limits{Connections: 1}}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.asHost("app.example.com")
		tk := s.ticket(wall, i.issue("ann", 0), own)
		for range 2 {
			s.expect(http.StatusOK, s.do(http.MethodHead, tk.path, "", same))
			s.expect(http.StatusOK, s.do(http.MethodHead, tk.path, "", same, "Accept: application/json"))
		}
		first := s.follow("/topics/wall", i.issue("bob", 0))
		s.told(tk.path, same) // full
		first.close()
		s.settle()
		s.follow(tk.path, same).close()
		s.settle()
		s.expect(http.StatusUnauthorized, s.get(tk.path, same))
	})
}

func TestTicketAllowsWhatItWasFetchedFor(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer := i.issue("ann", 0, push.Sub("chat/**"), push.Pub("chat/ann"), push.Manage("**"))
		for body, want := range map[string]int{
			`{"topics":["chat/1","chat/x/*"]}`: 201, `{"topics":["chat/ann"],"actions":["sub","pub"]}`: 201, `{"topics":["chat/1"],"actions":["history"]}`: 201,
			`{"topics":["secret"]}`: 403, `{"topics":["chat/1","secret"]}`: 403, `{"topics":["**"]}`: 403, `{"topics":["chat/1"],"actions":["pub"]}`: 403,
			`{"topics":["chat/1"],"actions":["presence"]}`: 403, `{"topics":["chat/1"],"actions":["manage"]}`: 400, `{"topics":["chat/1"],"actions":["rule"]}`: 400,
			`{"topics":[]}`: 400, `{}`: 400, ``: 400, `[]`: 400, `{"topics":["$push/revoked"]}`: 400, `{"topics":["a//b"]}`: 400, `{"topics":["chat/1"],"more":1}`: 400,
		} {
			a := s.post("/tickets", body, bearer)
			if a.StatusCode != want {
				t.Errorf("%s: %d, want %d", body, a.StatusCode, want)
			}
			if want == 403 && !strings.Contains(s.expect(want, a), "not granted: ") {
				t.Errorf("%s: %s does not name what is denied", body, a.body)
			}
		}
		tk := s.ticket(`{"topics":["chat/1","chat/x/*"]}`, bearer, own)
		if !strings.HasPrefix(tk.path, "/events?topic=chat%2F1&topic=chat%2Fx%2F%2A&ticket=") {
			t.Errorf("the URL for more than one topic: %s", tk.path)
		}
		s.follow(tk.path, same)
		q := "?ticket=" + tk.Ticket
		s.expect(http.StatusOK, s.get("/topics/chat/x/7"+q, same, tk.cookie))
		s.expect(http.StatusForbidden, s.get("/topics/chat/2"+q, same, tk.cookie)) // the token could, the ticket cannot
		s.expect(http.StatusForbidden, s.post("/topics/chat/ann"+q, "x", own, tk.cookie))
		s.expect(http.StatusForbidden, s.post("/revocations"+q, `{"sub":"bob"}`, own, tk.cookie))
	})
}

// A ticket is for streams: nothing else may use up one that is new.
func TestNewTicketDoesNothingButOpenAStream(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		bearer := i.issue("ann", 0)
		es := s.follow("/topics/wall", bearer)
		tk := s.ticket(`{"topics":["wall"],"actions":["sub","pub"]}`, bearer, own)
		q := "?ticket=" + tk.Ticket
		for _, a := range []answer{
			s.post("/topics/wall"+q, "x", own, tk.cookie), s.post("/tickets"+q, wall, own, tk.cookie),
			s.do(http.MethodPut, "/connections/"+es.cid+"/credentials"+q, "", own, tk.cookie),
		} {
			s.expect(http.StatusUnauthorized, a)
		}
		s.follow(tk.path, same)
		s.published(s.post("/topics/wall"+q, "x", own, tk.cookie))
		s.expect(http.StatusOK, s.get("/connections/"+es.cid+"/subscriptions"+q, same, tk.cookie))
	})
}

func TestTicketsThatNeverWere(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, _ *issuer) {
		for _, bad := range []string{"x", strings.Repeat("A", 43), strings.Repeat("A", 44), strings.Repeat("A", 100_000), "%00", "../x", "A/B", url.QueryEscape("ä")} {
			s.expect(http.StatusUnauthorized, s.get("/topics/wall?ticket="+bad))
		}
	})
}

func TestTicketsAreForWhoIsSignedIn(t *testing.T) {
	s := serve(t, rest.Config{})
	s.expect(http.StatusForbidden, s.post("/tickets", wall))
	signedIn(t, func(t *testing.T, s *site, _ *issuer) {
		s.expect(http.StatusUnauthorized, s.post("/tickets", wall, own))
	})
}

func TestTicketsAreLimited(t *testing.T) {
	i := &issuer{}
	config := func() rest.Config {
		return rest.Config{Auth: i, PublicURL: "https://app.example.com", Limits: rest.Limits{Tickets: 3}}
	}
	inBubble(t, config, func(t *testing.T, s *site) {
		s.asHost("app.example.com")
		bearer := i.issue("ann", 0)
		for range 3 {
			s.ticket(wall, bearer)
		}
		s.retryAfter(s.post("/tickets", wall, bearer))
		s.ticket(wall, i.issue("bob", 0))
		time.Sleep(20 * time.Second)
		s.ticket(wall, bearer)
	})
}

// A store that is full or away is for now only, and costs no ticket.
func TestTicketsWithoutAStore(t *testing.T) {
	i := &issuer{}
	b := &homeless{Memory: push.NewMemory()}
	s := serve(t, rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: push.NewHub(b)})
	s.asHost("app.example.com")
	eventually(t, "the hub follows", func() bool { return s.hub.Ready() == nil })
	tk := s.ticket(wall, i.issue("ann", 0), own)
	b.away.Store(true)
	s.expect(http.StatusServiceUnavailable, s.post("/tickets", wall, i.issue("ann", 0), own))
	s.expect(http.StatusServiceUnavailable, s.get(tk.path, same))
	s.told(tk.path, same)
	b.away.Store(false)
	s.follow(tk.path, same)
}

var errAway = errors.New("the store is away")

// A neighbouring subdomain can plant cookies of the name, which browsers send
// beside ours, and before it.
func TestPlantedCookiesAreInNobodysWay(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		first := s.ticket(wall, i.issue("ann", 0), own)
		bob := s.ticket(wall, i.issue("bob", 0), own)
		s.follow(first.path, same).close()
		planted := "Cookie: " + rest.ResumeCookie + "=planted; " + rest.ResumeCookie + "=" + strings.Repeat("A", 43) + "; " +
			strings.TrimPrefix(bob.cookie, "Cookie: ") + "; "
		all := planted + strings.TrimPrefix(first.cookie, "Cookie: ")
		s.follow(first.path, same, all).close()
		if again := s.ticket(wall, i.issue("ann", 0), own, all); again.cookie != "" {
			t.Error("the browser got another cookie, though it has ours")
		}
		s.expect(http.StatusUnauthorized, s.get(first.path, same, strings.TrimSuffix(planted, "; ")))
		many := "Cookie: " + strings.Repeat(rest.ResumeCookie+"="+strings.Repeat("A", 43)+"; ", 8) + strings.TrimPrefix(first.cookie, "Cookie: ")
		s.expect(http.StatusUnauthorized, s.get(first.path, same, many))
	})
}

func TestTicketThatIsTooLargeSaysSo(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		var topics []string
		for n := range 100 {
			topics = append(topics, fmt.Sprintf("%q", fmt.Sprintf("%s-%d", strings.Repeat("x", 190), n)))
		}
		b := i.issue("ann", 0, push.Sub("**"), push.Pub("**"), push.Presence("**"))
		body := `{"topics":[` + strings.Join(topics, ",") + `],"actions":["sub","pub","history","presence"]}`
		if detail := s.expect(http.StatusBadRequest, s.post("/tickets", body, b, own)); !strings.Contains(detail, "patterns") {
			t.Error(detail)
		}
	})
}
