package rest_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// homeless is a broker whose store can be away.
type homeless struct {
	*push.Memory
	away atomic.Bool
}

func (b *homeless) Store() push.Store { return awayStore{b.Memory.Store(), b} }

type awayStore struct {
	push.Store
	b *homeless
}

func (s awayStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.b.away.Load() {
		return errAway
	}
	return s.Store.Set(ctx, key, value, ttl)
}

func (s awayStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if s.b.away.Load() {
		return nil, false, errAway
	}
	return s.Store.Get(ctx, key)
}

func (s awayStore) List(ctx context.Context, prefix string) (map[string][]byte, error) {
	if s.b.away.Load() {
		return nil, errAway
	}
	return s.Store.List(ctx, prefix)
}

// settle waits until nothing happens any more. It must be called in a bubble.
func (s *site) settle() { synctest.Wait() }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// twoNodes runs f with two mounts over one broker, each with a hub of its own,
// as two processes have them.
func twoNodes(t *testing.T, f func(t *testing.T, a, b *site, i *issuer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		broker, i := push.NewMemory(), &issuer{}
		node := func() *site {
			hub := push.NewHub(struct{ push.Broker }{broker})
			synctest.Wait()
			s := serveInMemory(t, rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: hub}, &http.Server{})
			s.asHost("app.example.com")
			return s
		}
		f(t, node(), node(), i)
	})
}

// Failure 58: whoever is revoked on one node is out on the other within a
// second, and does not come back in.
func TestRevocationReachesTheOtherNode(t *testing.T) {
	twoNodes(t, func(t *testing.T, a, b *site, i *issuer) {
		admin := i.issue("admin", 0, push.Manage("**"))
		ann, bob := i.issue("ann", 0), i.issue("bob", 0)
		es, stays := b.follow("/topics/wall", ann), b.follow("/topics/wall", bob)
		c := b.socket("/topics/wall", ann)
		poll := b.poll("/topics/wall?after="+b.hub.Position().String(), "Prefer: wait=25", ann)
		tk := b.ticket(wall, ann, own)
		b.follow(tk.path, same).close()
		start := time.Now()
		a.expect(http.StatusNoContent, a.post("/revocations", `{"sub":"ann"}`, admin))
		synctest.Wait() // b reads it from the log, as it reads what is published after it
		a.publish("wall", "after")
		var end closeData
		if es.expect("push.close", &end); end.Code != push.CloseForbidden {
			t.Errorf("push.close %+v", end)
		}
		es.ended()
		if code, _ := c.closed(); code != push.CloseForbidden {
			t.Errorf("the WebSocket closed with %d", code)
		}
		if got := <-poll; got.StatusCode != http.StatusForbidden {
			t.Errorf("the waiting poll: %d %s", got.StatusCode, got.body)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		stays.messages("after")
		for _, s := range []*site{a, b} {
			s.expect(http.StatusUnauthorized, s.get("/topics/wall", ann))
			s.expect(http.StatusUnauthorized, s.post("/topics/wall", "x", ann))
			s.expect(http.StatusUnauthorized, s.get(tk.path, same, tk.cookie))
			s.expect(http.StatusOK, s.get("/topics/wall", bob))
		}
		time.Sleep(31 * time.Second) // a new log-in, whatever the provider's clock
		b.follow("/topics/wall", i.issue("ann", 0))
	})
}

// cutOff is a broker whose Tail can be cut off.
type cutOff struct {
	push.Broker
	cut atomic.Bool
}

func (b *cutOff) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	return b.Broker.Tail(ctx, after, func(events []push.Event) error {
		if b.cut.Load() {
			return errAway
		}
		return deliver(events)
	})
}

// A node that starts later, or whose log has lost the news, has it from the
// store.
func TestRevocationIsKnownToNodesThatMissedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, i := push.NewMemory(push.Rules(push.Rule{Pattern: "$push/**", Retention: push.Retention{Count: 1}})), &issuer{}
		node := func(hub *push.Hub) *site {
			synctest.Wait()
			s := serveInMemory(t, rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: hub}, &http.Server{})
			s.asHost("app.example.com")
			return s
		}
		a := node(push.NewHub(struct{ push.Broker }{broker}))
		away := &cutOff{Broker: struct{ push.Broker }{broker}}
		b := node(push.NewHub(away))
		admin, ann, bob := i.issue("admin", 0, push.Manage("**")), i.issue("ann", 0), i.issue("bob", 0)
		es, bobs := b.follow("/topics/wall", ann), b.follow("/topics/wall", bob)
		away.cut.Store(true)
		for _, sub := range []string{"ann", "x", "y"} {
			a.expect(http.StatusNoContent, a.post("/revocations", `{"sub":"`+sub+`"}`, admin))
		}
		late := node(push.NewHub(struct{ push.Broker }{broker}))
		late.expect(http.StatusUnauthorized, late.get("/topics/wall", ann))
		late.expect(http.StatusOK, late.get("/topics/wall", bob))
		b.expect(http.StatusNoContent, b.post("/revocations", `{"sub":"bob"}`, admin))
		b.expect(http.StatusUnauthorized, b.get("/topics/wall", bob)) // who was asked hears nothing, and knows
		bobs.expect("push.close", nil)
		away.cut.Store(false)
		var end closeData
		if es.expect("push.close", &end); end.Code != push.CloseForbidden {
			t.Errorf("push.close %+v", end)
		}
		b.expect(http.StatusUnauthorized, b.get("/topics/wall", ann))
	})
}

// A revocation that comes after the credentials were looked at and before the
// stream can be found must not pass it by.
func TestRevocationWhileAStreamOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		var h *rest.Handler
		cfg := rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: push.New()}
		cfg.Authorize = func(ctx context.Context, p *rest.Principal, _ push.Action, _ string) (bool, error) {
			err := h.Revoke(ctx, rest.Revocation{Subject: p.Subject})
			synctest.Wait() // it has been applied
			return true, err
		}
		s := serveInMemory(t, cfg, &http.Server{})
		h = s.Config.Handler.(*rest.Handler)
		s.asHost("app.example.com")
		ann := i.issue("ann", 0)
		s.expect(http.StatusUnauthorized, s.do(http.MethodGet, "/topics/wall", "", ann, "Accept: text/event-stream"))
		if n := s.hub.Subscriptions(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
}

func TestRevocationOfASessionOrAToken(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		admin := i.issue("admin", 0, push.Manage("**"))
		first, second, third := i.issue("ann", 0), i.issue("ann", 0), i.issue("ann", 0) // session-1, jti-2 and so on
		one, two, three := s.follow("/topics/wall", first), s.follow("/topics/wall", second), s.follow("/topics/wall", third)
		s.expect(http.StatusNoContent, s.post("/revocations", `{"sub":"bob","sid":"session-1"}`, admin)) // nobody's
		s.expect(http.StatusNoContent, s.post("/revocations", `{"sub":"ann","sid":"session-1"}`, admin))
		s.expect(http.StatusNoContent, s.post("/revocations", `{"jti":"jti-2"}`, admin))
		one.expect("push.close", nil)
		two.expect("push.close", nil)
		s.publish("wall", "still there")
		three.messages("still there")
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", first))
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", second))
		s.expect(http.StatusOK, s.get("/topics/wall", third))
	})
}

func TestWhoMayRevoke(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		ann := i.issue("ann", 0, push.Sub("**"), push.Pub("**"), push.Manage("wall"), push.Manage("*"))
		admin := i.issue("admin", 0, push.Manage("**"))
		s.expect(http.StatusUnauthorized, s.post("/revocations", `{"sub":"bob"}`))
		s.expect(http.StatusForbidden, s.post("/revocations", `{"sub":"bob"}`, ann))
		for _, bad := range []string{`{}`, ``, `{"sub":""}`, `{"sub":1}`, `{"user":"bob"}`, `[]`} {
			s.expect(http.StatusBadRequest, s.post("/revocations", bad, admin))
		}
	})
}

// The log is not to be forged: no client writes or reads what the nodes tell
// each other.
func TestNobodyReadsOrForgesRevocations(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		admin := i.issue("admin", 0, push.Sub("**"), push.Pub("**"), push.Manage("**"), push.Sub("$push/**"), push.Pub("$push/**"))
		ann := s.follow("/topics/wall", i.issue("ann", 0))
		all := s.follow("/events?topic=**", admin)
		for _, path := range []string{"/topics/$push/revoked", "/topics/%24push/revoked", "/events?topic=$push/revoked", "/events?topic=$push/**", "/events?topic=%24push/*"} {
			s.expect(http.StatusBadRequest, s.get(path, admin))
		}
		s.expect(http.StatusBadRequest, s.post("/topics/$push/revoked", `{"sub":"ann","at":"2100-01-01T00:00:00Z"}`, admin))
		s.expect(http.StatusBadRequest, s.patch(all.cid, `{"add":["$push/revoked"]}`, admin))
		if r := s.post("/connections/"+all.cid+"/messages", `{"action":"publish","topic":"$push/revoked","data":{"sub":"ann"}}`, admin); r.StatusCode != http.StatusBadRequest {
			t.Errorf("by a message: %d", r.StatusCode)
		}
		s.expect(http.StatusNoContent, s.post("/revocations", `{"sub":"somebody"}`, admin))
		s.publish("wall", "1")
		ann.messages("1")
		all.messages("1")
	})
}

// A node that cannot know who was revoked lets nobody in who could have been.
func TestRevocationsThatCannotBeReadAreTemporary(t *testing.T) {
	b := &homeless{Memory: push.NewMemory()}
	b.away.Store(true)
	i := &issuer{}
	s := serve(t, rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: push.NewHub(b)})
	s.asHost("app.example.com")
	eventually(t, "the hub follows", func() bool { return s.hub.Ready() == nil })
	ann := i.issue("ann", 0)
	s.expect(http.StatusServiceUnavailable, s.get("/topics/wall", ann))
	s.told("/topics/wall", ann)
	b.away.Store(false)
	s.expect(http.StatusOK, s.get("/topics/wall", ann))
}

// A revocation must not be forgotten before the last token that it concerns.
func TestTokensThatOutliveRevocationsAreRefused(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", i.issue("ann", 24*time.Hour+time.Minute)))
		if log := s.log.String(); !strings.Contains(log, "MaxTokenLife") {
			t.Errorf("the log does not say the fix: %s", log)
		}
		admin, ann := i.issue("admin", 0, push.Manage("**")), i.issue("ann", 24*time.Hour)
		s.expect(http.StatusOK, s.get("/topics/wall", ann))
		s.expect(http.StatusNoContent, s.post("/revocations", `{"sub":"ann"}`, admin))
		time.Sleep(24*time.Hour - time.Minute)
		for n := range 5000 { // it is not crowded out
			i.mu.Lock()
			i.tokens["admin"] = &rest.Principal{Subject: "admin", Grants: []push.Grant{push.Manage("**")}}
			i.mu.Unlock()
			if n%50 == 0 {
				s.expect(http.StatusNoContent, s.post("/revocations", `{"sub":"other`+strings.Repeat("x", n/50)+`"}`, "Authorization: Bearer admin"))
			}
		}
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", ann))
	})
}
