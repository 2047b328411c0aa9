package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

const key = "Idempotency-Key: k"

func TestRepeatedPublishGetsTheFirstAnswer(t *testing.T) {
	s := serve(t, rest.Config{})
	first := s.post("/topics/wall", "hi", key)
	again := s.post("/topics/wall", "hi", key)
	if a, b := s.published(first), s.published(again); a != b || first.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("first %s at %s, again %s at %s", a, first.Header.Get("Location"), b, again.Header.Get("Location"))
	}
	if id := s.published(s.post("/topics/wall", "hi", "Idempotency-Key: other")); id == s.published(first) {
		t.Error("another key got the same event")
	}
	s.published(s.post("/topics/wall", "hi"))
	s.published(s.post("/topics/wall", "hi", "Idempotency-Key: "))
	if n := len(s.page("/topics/wall").Items); n != 4 {
		t.Errorf("%d events in the log, want 4: one for each key, and each without one", n)
	}
}

func TestKeyOfAnotherEventIs422(t *testing.T) {
	s := serve(t, rest.Config{})
	s.published(s.post("/topics/wall", "hi", key, "Push-Event: post", "Push-Key: c", "Content-Type: text/plain"))
	for name, a := range map[string]answer{
		"body": s.post("/topics/wall", "ho", key, "Push-Event: post", "Push-Key: c", "Content-Type: text/plain"),
		"name": s.post("/topics/wall", "hi", key, "Push-Event: edit", "Push-Key: c", "Content-Type: text/plain"),
		"key":  s.post("/topics/wall", "hi", key, "Push-Event: post", "Push-Key: d", "Content-Type: text/plain"),
		"type": s.post("/topics/wall", "hi", key, "Push-Event: post", "Push-Key: c", "Content-Type: text/html"),
	} {
		if a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("another %s with the same Idempotency-Key: %d", name, a.StatusCode)
		}
	}
	s.published(s.post("/topics/other", "ho", key)) // keys are per topic
	if n := len(s.page("/events?topic=**").Items); n != 2 {
		t.Errorf("%d events in the log, want 2", n)
	}
}

func TestRequestWhoseTwinIsInFlightIs409(t *testing.T) {
	hub := push.New()
	entered, leave := make(chan bool, 10), make(chan bool)
	release := sync.OnceFunc(func() { close(leave) })
	t.Cleanup(release)
	hub.Handle("**", func(context.Context, *push.Inbound) error {
		entered <- true
		<-leave
		return nil
	})
	s := serve(t, rest.Config{Hub: hub})
	first := make(chan answer, 1)
	go func() { first <- s.post("/topics/wall", "hi", key) }()
	<-entered
	a := s.post("/topics/wall", "hi", key)
	if s.expect(http.StatusConflict, a); a.Header.Get("Retry-After") == "" {
		t.Error("409 without Retry-After")
	}
	s.expect(http.StatusUnprocessableEntity, s.post("/topics/wall", "ho", key))
	release()
	if id := s.published(<-first); id != s.published(s.post("/topics/wall", "hi", key)) {
		t.Error("the second answer is not the first")
	}
}

func TestFailedRequestMayBeRepeated(t *testing.T) {
	hub := push.New()
	var open atomic.Bool
	hub.Handle("**", func(context.Context, *push.Inbound) error {
		if !open.Load() {
			return push.Refuse("not now")
		}
		return nil
	})
	s := serve(t, rest.Config{Hub: hub})
	s.expect(http.StatusUnprocessableEntity, s.post("/topics/wall", "hi", key))
	open.Store(true)
	s.published(s.post("/topics/wall", "hi", key))
}

func TestRequestWhoseHandlerPanickedMayBeRepeated(t *testing.T) {
	hub := push.New()
	var fixed atomic.Bool
	hub.Handle("**", func(context.Context, *push.Inbound) error {
		if !fixed.Load() {
			panic("handler")
		}
		return nil
	})
	s := serve(t, rest.Config{Hub: hub})
	req := s.request(t.Context(), http.MethodPost, "/topics/wall", "hi", key)
	if res, err := s.Client().Do(req); err == nil {
		res.Body.Close()
		t.Fatalf("a request whose handler panicked: %s", res.Status)
	}
	fixed.Store(true)
	id := s.published(s.post("/topics/wall", "hi", key))
	if p := s.page("/topics/wall"); len(p.Items) != 1 || p.Last != id {
		t.Errorf("the repeated request was answered with %s, in the log is %v", id, p.texts())
	}
}

func TestKeyIsForgottenAfterFiveMinutes(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		first := s.published(s.post("/topics/wall", "hi", key))
		time.Sleep(push.IdemWindow - time.Second)
		if id := s.published(s.post("/topics/wall", "hi", key)); id != first {
			t.Error("the key was forgotten before its time")
		}
		time.Sleep(2 * time.Second)
		if id := s.published(s.post("/topics/wall", "ho", key)); id == first {
			t.Error("the key is remembered beyond its time: another event was swallowed")
		}
	})
}

// who is an Auth in which the header User says it all.
var who = rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
	return &rest.Principal{Subject: r.Header.Get("User"), Grants: []push.Grant{push.Sub("**"), push.Pub("**")}}, nil
})

func TestKeyBelongsToASubjectConnectionOrAddress(t *testing.T) {
	s := serve(t, rest.Config{Auth: who})
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if addr := r.Header.Get("Addr"); addr != "" {
			r.RemoteAddr = addr
		}
		inner.ServeHTTP(w, r)
	})
	const here, port, there, six = "Addr: 192.0.2.1:1", "Addr: 192.0.2.1:2", "Addr: 192.0.2.2:1", "Addr: [2001:db8::1]:1"
	ann, bob := s.follow("/topics/wall").cid, s.follow("/topics/wall").cid
	carol := s.follow("/topics/wall", "User: carol").cid
	for i, c := range []struct {
		one, other []string
		same       bool
	}{
		{[]string{here}, []string{port}, true},
		{[]string{here}, []string{there}, false},
		{[]string{here}, []string{six}, false},
		{[]string{here, "User: ann"}, []string{here, "User: bob"}, false},
		{[]string{here, "User: ann"}, []string{there, "User: ann"}, true},
		{[]string{here, "User: ann"}, []string{here}, false},
		{[]string{here, "Push-Connection: " + ann}, []string{here}, false},
		{[]string{here, "Push-Connection: " + ann}, []string{here, "Push-Connection: " + bob}, false},
		{[]string{here, "Push-Connection: " + ann}, []string{there, "Push-Connection: " + ann}, true}, // a roaming visitor
		{[]string{here, "Push-Connection: made up"}, []string{here}, true},
		{[]string{here, "Push-Connection: made up"}, []string{there, "Push-Connection: made up"}, false},
		{[]string{here, "Push-Connection: " + carol}, []string{here}, true}, // not an anonymous visitor's to name
	} {
		path := fmt.Sprintf("/topics/case/%d", i)
		one, other := s.published(s.post(path, "hi", append(c.one, key)...)), s.published(s.post(path, "hi", append(c.other, key)...))
		if (one == other) != c.same {
			t.Errorf("%v and %v with one key: the same event %v, want %v", c.one, c.other, one == other, c.same)
		}
	}
}

func TestOneKeyRacedByFiftyIsOneEvent(t *testing.T) {
	s := serve(t, rest.Config{})
	ids := make(chan string, 50)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			if a := s.post("/topics/wall", "hi", key); a.StatusCode != http.StatusConflict {
				ids <- s.published(a)
			}
		})
	}
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("answers %s and %s", first, id)
		}
	}
	if n := len(s.page("/topics/wall").Items); n != 1 {
		t.Errorf("%d events in the log", n)
	}
}

func TestClientThatLeftMayRepeatItsPublish(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		first := true
		s.hub.Handle("**", func(ctx context.Context, _ *push.Inbound) error {
			if first {
				first = false
				<-ctx.Done()
			}
			return nil
		})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			if res, err := s.Client().Do(s.request(ctx, http.MethodPost, "/topics/wall", "hi", key)); err == nil {
				res.Body.Close()
			}
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		s.published(s.post("/topics/wall", "hi", key))
		if n := len(s.page("/topics/wall").Items); n != 1 {
			t.Errorf("%d events in the log", n)
		}
	})
}

func TestRetryOnAnotherNodeIsRecognised(t *testing.T) {
	hub := push.New()
	entered, leave := make(chan bool), make(chan bool)
	hub.Handle("slow", func(context.Context, *push.Inbound) error {
		entered <- true
		<-leave
		return nil
	})
	a, b := serve(t, rest.Config{Hub: hub, Auth: who}), serve(t, rest.Config{Hub: hub, Auth: who})
	if first, again := a.published(a.post("/topics/wall", "hi", key, ann)), b.published(b.post("/topics/wall", "hi", key, ann)); first != again {
		t.Errorf("on the other node the retry became %s, not %s", again, first)
	}
	b.expect(http.StatusUnprocessableEntity, b.post("/topics/wall", "ho", key, ann))
	done := make(chan answer)
	go func() { done <- a.post("/topics/slow", "hi", key, ann) }()
	<-entered
	b.expect(http.StatusConflict, b.post("/topics/slow", "hi", key, ann))
	close(leave)
	if first := a.published(<-done); b.published(b.post("/topics/slow", "hi", key, ann)) != first {
		t.Error("on the other node the retry became another event")
	}
}

// withStore is a broker with a store of its own.
type withStore struct {
	*push.Memory
	store push.Store
}

func (b withStore) Store() push.Store { return b.store }

// silent is a store that a node cannot tell its answers: it died before.
type silent struct{ push.Store }

func (silent) Set(context.Context, string, []byte, time.Duration) error { return nil }

func TestKeyOfANodeThatDiedIsHeldForSomeSeconds(t *testing.T) {
	hub := func() rest.Config {
		return rest.Config{Hub: push.NewHub(withStore{push.NewMemory(), silent{push.NewMemoryStore(0)}})}
	}
	inBubble(t, hub, func(t *testing.T, s *site) {
		first := s.published(s.post("/topics/wall", "hi", key))
		s.expect(http.StatusConflict, s.post("/topics/wall", "hi", key))
		time.Sleep(6 * time.Second)
		if again := s.published(s.post("/topics/wall", "hi", key)); again != first {
			t.Errorf("the retry became %s, not %s: the log forgot the key", again, first)
		}
	})
}

// However long an inbound handler takes, its key is held, and then answers.
func TestKeyIsHeldForAsLongAsItsRequestTakes(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		s.hub.Handle("slow", func(context.Context, *push.Inbound) error {
			time.Sleep(5 * time.Minute)
			return nil
		})
		done := make(chan int)
		go func() {
			res, err := s.Client().Do(s.request(t.Context(), http.MethodPost, "/topics/slow", "hi", key))
			if err != nil {
				t.Error(err)
				done <- 0
				return
			}
			res.Body.Close()
			done <- res.StatusCode
		}()
		for range 59 {
			time.Sleep(5 * time.Second)
			s.expect(http.StatusConflict, s.post("/topics/slow", "hi", key))
		}
		if status := <-done; status != http.StatusCreated {
			t.Errorf("the first request: %d", status)
		}
		time.Sleep(20 * time.Second) // nobody holds it any more
		s.published(s.post("/topics/slow", "hi", key))
		if n := len(s.page("/topics/slow").Items); n != 1 {
			t.Errorf("%d events in the log", n)
		}
	})
}

// away is a store that cannot be reached.
type away struct{ push.Store }

func (away) Add(context.Context, string, []byte, time.Duration) (bool, error) { return false, errDown }

func TestStoreThatIsAwayIs503(t *testing.T) {
	s := serve(t, rest.Config{Hub: push.NewHub(withStore{push.NewMemory(), away{push.NewMemoryStore(0)}})})
	s.expect(http.StatusServiceUnavailable, s.post("/topics/wall", "hi", key))
	s.published(s.post("/topics/wall", "hi")) // needs no store
	if p := s.page("/topics/wall"); len(p.Items) != 1 {
		t.Errorf("in the log: %v", p.texts())
	}
}
