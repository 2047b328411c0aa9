package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// once checks that a ticket was not spent so far, and is by what it opens now.
func (s *site) once(tk ticket) {
	s.t.Helper()
	s.follow(tk.path, same).close()
	s.expect(http.StatusUnauthorized, s.get(tk.path, same))
}

// What is no handshake costs no ticket, whatever is wrong with it.
func TestHandshakesThatAreRefusedSpendNoTicket(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		b := i.issue("ann", 0)
		const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
		for _, c := range []struct {
			status  int
			headers []string
		}{
			{400, []string{"Sec-WebSocket-Version: 13"}},
			{400, []string{"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"}},
			{400, []string{"Sec-WebSocket-Version: 13", key, key}},
			{400, []string{"Sec-WebSocket-Version: 8", key}},
			{400, []string{key}},
		} {
			tk := s.ticket(wall, b, own)
			headers := append([]string{same, "Connection: Upgrade", "Upgrade: websocket"}, c.headers...)
			s.expect(c.status, s.do(http.MethodGet, tk.path, "", headers...))
			s.expect(c.status, s.do(http.MethodGet, "/topics/wall", "", append(headers, own, "Sec-WebSocket-Protocol: push.v1, push.ticket."+tk.Ticket)...))
			s.once(tk)
		}
		synctest.Wait()
		if n := s.hub.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

// A long poll has its answer at its end.
func TestLongPollSpendsItsTicketWithItsAnswer(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		b := i.issue("ann", 0)
		fetch := func() (ticket, string) {
			tk := s.ticket(wall, b, own)
			return tk, tk.path + "&after=" + s.hub.Position().String()
		}
		tk, path := fetch()
		ctx, leave := context.WithCancel(t.Context()) // the page is left meanwhile
		req := s.request(ctx, http.MethodGet, path, "", same, "Accept: application/json", "Prefer: wait=50")
		left := make(chan error)
		go func() {
			_, err := s.Client().Do(req)
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; err == nil {
			t.Fatal("the poll was answered")
		}
		synctest.Wait()
		s.once(tk)

		tk, path = fetch() // it is good when it comes, however long it waits
		time.Sleep(29 * time.Second)
		s.expect(http.StatusOK, (<-s.poll(path, same, "Prefer: wait=50")).answer)
		s.expect(http.StatusUnauthorized, s.get(tk.path, same))
		s.follow(tk.path, same, tk.cookie).close()

		_, path = fetch() // of two that wait one is answered
		first, second := s.poll(path, same, "Prefer: wait=50"), s.poll(path, same, "Prefer: wait=50")
		s.publish("wall", "1")
		a, z := <-first, <-second
		if a.StatusCode+z.StatusCode != http.StatusOK+http.StatusUnauthorized || strings.Count(a.body+z.body, `"items"`) != 1 {
			t.Errorf("%s\n%s\n%s\n%s", a.Status, a.body, z.Status, z.body)
		}
	})
}

// A poll that the server had to give up is tried again with the same ticket.
func TestLongPollThatIsInterruptedSpendsNoTicket(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		opened := s.ticket(wall, i.issue("ann", 0), own)
		done := s.poll(opened.path+"&after="+s.hub.Position().String(), same, "Prefer: wait=50")
		every := func(sub *push.Subscription) bool { return sub.Subject() == "ann" }
		if n := s.hub.Disconnect(every, &push.CloseError{Code: push.CloseOverload, Reason: "full", Retry: time.Second}); n != 1 {
			t.Fatal(n)
		}
		s.expect(http.StatusServiceUnavailable, (<-done).answer)
		s.once(opened)
	})
}

// A token's iat may be half a minute later than the revocation that covers it:
// the revocation has to be known for so much longer.
func TestRevocationsAreKeptAsLongAsTheTokensOfAFastClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		h, s := newHandler(t, rest.Config{Auth: i, PublicURL: "https://app.example.com"})
		defer s.kill()
		status := func(bearer string) int {
			r := httptest.NewRequest(http.MethodGet, "https://app.example.com/push/topics/wall", http.NoBody)
			r.Header.Set("Authorization", strings.TrimPrefix(bearer, "Authorization: "))
			r.Header.Set("Accept", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		ann := i.issue("ann", 24*time.Hour+25*time.Second)
		i.tokens["token-0"].IssuedAt = time.Now().Add(25 * time.Second)
		if got := status(ann); got != http.StatusOK {
			t.Fatal(got)
		}
		revoke := func(sub string) {
			if err := h.Revoke(t.Context(), rest.Revocation{Subject: sub}); err != nil {
				t.Fatal(err)
			}
		}
		revoke("ann")
		time.Sleep(24*time.Hour + 20*time.Second)
		for n := range 1100 { // enough to look at what is over
			revoke(fmt.Sprint("other-", n))
		}
		synctest.Wait()
		if got := status(ann); got != http.StatusUnauthorized {
			t.Errorf("a revoked token works again in its last seconds: %d", got)
		}
		h, _ = newHandler(t, rest.Config{Auth: i, PublicURL: "https://app.example.com", Hub: s.hub})
		if got := status(ann); got != http.StatusUnauthorized {
			t.Errorf("a node that starts then has it no more: %d", got)
		}
	})
}

// A token that lives for longer than revocations are remembered is not let in
// near its end either, when its revocation is forgotten.
func TestTokensThatOutliveRevocationsAreRefusedToTheirEnd(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		long, exact := i.issue("ann", 48*time.Hour), i.issue("ann", 24*time.Hour)
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", long))
		s.expect(http.StatusOK, s.get("/topics/wall", exact))
		time.Sleep(47 * time.Hour)
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", long))
	})
}

// Whatever is refused says in one line why, and all that is known of the
// credential.
func TestRefusalsAreLoggedInOneLine(t *testing.T) {
	signedIn(t, func(t *testing.T, s *site, i *issuer) {
		token := func(name string, life time.Duration, grants ...push.Grant) string {
			b := i.issue("ann", life, grants...)
			i.tokens[strings.TrimPrefix(b, "Authorization: Bearer ")].KeyID = name
			return b
		}
		check := func(name, reason string, more ...string) {
			t.Helper()
			for line := range strings.Lines(s.log.String()) {
				if !strings.Contains(line, "kid="+name) {
					continue
				}
				for _, want := range append(more, "push: refused", reason, "iss=https://id.example.com", "sub=", "jti=", "origin=https://") {
					if !strings.Contains(line, want) {
						t.Errorf("%s: no %s in %s", name, want, line)
					}
				}
				return
			}
			t.Errorf("%s: no line", name)
		}
		admin := i.issue("root", 0, push.Manage("**"))
		revoked, spent, foreign := token("revoked", 0), s.ticket(wall, token("spent", 0), own), s.ticket(wall, token("foreign", 0), own)
		denied, swapped := token("denied", 0, push.Sub("wall")), token("swapped", 0)
		s.expect(http.StatusNoContent, s.post("/revocations", `{"jti":"jti-1"}`, admin))
		synctest.Wait()
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", revoked, own))
		check("revoked", "revoked")
		s.expect(http.StatusUnauthorized, s.get("/topics/wall", token("long", 25*time.Hour), own))
		check("long", "lives longer")
		s.expect(http.StatusForbidden, s.post("/topics/wall", "x", denied, own))
		check("denied", "publishing is not granted")
		s.follow(spent.path, own).close()
		s.expect(http.StatusUnauthorized, s.get(spent.path, own))
		check("spent", "ticket is not valid")
		s.expect(http.StatusForbidden, s.get(foreign.path, "Origin: https://other.example.com"))
		check("foreign", "another origin", "origin=https://other.example.com")
		c := s.socket("/topics/wall", token("frame", 0, push.Sub("wall")), own)
		if r, _ := c.act(`{"action":"publish","topic":"wall","data":1}`); r.Problem == nil || r.Problem.Status != http.StatusForbidden {
			t.Errorf("a frame that is not granted: %+v", r)
		}
		check("frame", "publishing is not granted", "connection=")
		s.expect(http.StatusNoContent, s.post("/revocations", `{"jti":"jti-5"}`, admin))
		synctest.Wait()
		if r, _ := c.act(`{"action":"credentials","token":"` + strings.TrimPrefix(swapped, "Authorization: Bearer ") + `"}`); r.Problem == nil {
			t.Errorf("a revoked token in a frame: %+v", r)
		}
		check("swapped", "revoked", "connection=")
		batch := token("batch", 0, push.Sub("wall"))
		s.expect(http.StatusOK, s.post("/batch", `{"events":[{"topic":"wall","data":1}]}`, batch, own, "Content-Type: application/json"))
		check("batch", "publishing is not granted")
		if log := s.log.String(); strings.Contains(log, "token-") || strings.Contains(log, spent.Ticket) || strings.Contains(log, "jti-") || strings.Contains(log, "ann") {
			t.Errorf("the log tells too much: %s", log)
		}
	})
}
