package rest_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// inBubble runs f with a mount in memory, where time passes at once.
func inBubble(t *testing.T, cfg func() rest.Config, f func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, serveInMemory(t, cfg(), &http.Server{})) })
}

func defaults() rest.Config { return rest.Config{} }

// waited is the answer to a long poll and the time that it took.
type waited struct {
	answer
	took time.Duration
}

// poll begins a GET and returns once it waits.
func (s *site) poll(path string, headers ...string) <-chan waited {
	done, start := make(chan waited, 1), time.Now()
	go func() { done <- waited{s.get(path, headers...), time.Since(start)} }()
	synctest.Wait()
	return done
}

func TestLongPollWakesAtAnEvent(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		at := s.publish("wall", "old")[0]
		done := s.poll("/topics/wall?after="+at.String(), "Prefer: wait=25")
		time.Sleep(7 * time.Second)
		s.publish("other", "x")
		time.Sleep(time.Second)
		id := s.publish("wall", "new")[0]
		got := <-done
		p := s.decodePage(got.answer)
		if got.took != 8*time.Second || !slices.Equal(p.texts(), []string{"new"}) || p.Last != id.String() {
			t.Errorf("after %v: %v last %s, want new after 8 s", got.took, p.texts(), p.Last)
		}
		if applied := got.Header.Get("Preference-Applied"); applied != "wait=25" {
			t.Errorf("Preference-Applied: %q", applied)
		}
	})
}

func TestLongPollThatTimesOutIsAnEmptyPageThatMoved(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		at := s.publish("wall", "old")[0]
		done := s.poll("/topics/wall?after="+at.String(), "Prefer: wait=25")
		time.Sleep(time.Second)
		head := s.publish("other", "x")[0]
		got := <-done
		p := s.decodePage(got.answer)
		if got.took != 25*time.Second || len(p.Items) != 0 || p.Gap != nil || p.Last != head.String() {
			t.Errorf("after %v: %v last %s, want nothing after 25 s, at the head %s", got.took, p.texts(), p.Last, head)
		}
		if n := s.hub.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

func TestLongPollIsBoundedBelowTheProxies(t *testing.T) {
	for prefer, want := range map[string]time.Duration{
		"wait=50": 50 * time.Second, "wait=51": 50 * time.Second, "wait=3600": 50 * time.Second, "wait=65536": 50 * time.Second,
		"wait=99999999999999999999": 50 * time.Second, `wait="3"`: 3 * time.Second, "Wait = 3": 3 * time.Second,
		"respond-async, wait=3; foo": 3 * time.Second, "wait=0": 0, "wait=-3": 0, "wait=": 0, "wait": 0, "wait=x": 0,
	} {
		inBubble(t, defaults, func(t *testing.T, s *site) {
			got := <-s.poll("/topics/wall?after="+s.hub.Position().String(), "Prefer: "+prefer)
			s.expect(http.StatusOK, got.answer)
			if got.took != want {
				t.Errorf("Prefer: %s waited %v, want %v", prefer, got.took, want)
			}
			applied := ""
			if want > 0 {
				applied = "wait=" + strconv.Itoa(int(want.Seconds()))
			}
			if a := got.Header.Get("Preference-Applied"); a != applied {
				t.Errorf("Prefer: %s applied %q, want %q", prefer, a, applied)
			}
		})
	}
}

func TestLongPollWithSomethingAfterTheCursorIsAnsweredAtOnce(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		s.publish("wall", numbers(0, 5)...)
		got := <-s.poll("/topics/wall?after=0&limit=2", "Prefer: wait=25")
		p := s.decodePage(got.answer)
		if got.took != 0 || !slices.Equal(p.texts(), numbers(0, 2)) || p.link == "" {
			t.Errorf("after %v: %v, next %q", got.took, p.texts(), p.link)
		}
		forged := s.decodePage((<-s.poll("/topics/wall?after=forged", "Prefer: wait=25")).answer)
		if forged.Gap == nil || forged.Gap.Reason != "epoch" {
			t.Errorf("forged cursor: %+v", forged.Gap)
		}
	})
}

func TestLongPollWithoutACursorWaitsForThePageToChange(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		s.publish("wall", "1")
		first := <-s.poll("/topics/wall", "Prefer: wait=25")
		if s.expect(http.StatusOK, first.answer); first.took != 0 {
			t.Fatalf("a client that has nothing yet waited %v", first.took)
		}
		has := "If-None-Match: " + first.Header.Get("Etag")
		done := s.poll("/topics/wall", "Prefer: wait=25", has)
		time.Sleep(3 * time.Second)
		s.publish("wall", "2")
		got := <-done
		if p := s.decodePage(got.answer); got.took != 3*time.Second || !slices.Equal(p.texts(), []string{"1", "2"}) {
			t.Errorf("after %v: %v, want the whole page after 3 s", got.took, p.texts())
		}
		has = "If-None-Match: " + got.Header.Get("Etag")
		same := <-s.poll("/topics/wall", "Prefer: wait=25", has)
		if s.expect(http.StatusNotModified, same.answer); same.took != 25*time.Second {
			t.Errorf("304 after %v, want 25 s", same.took)
		}
	})
}

// A tag that changed with every event of the log would have the client ask
// without a pause.
func TestLongPollOfAnEmptyTopicWaitsInABusyLog(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		first := s.get("/topics/wall")
		s.publish("other", "1", "2")
		done := s.poll("/topics/wall", "Prefer: wait=25", "If-None-Match: "+first.Header.Get("Etag"))
		time.Sleep(3 * time.Second)
		s.publish("other", "3")
		time.Sleep(3 * time.Second)
		s.publish("wall", "at last")
		got := <-done
		if p := s.decodePage(got.answer); got.took != 6*time.Second || !slices.Equal(p.texts(), []string{"at last"}) {
			t.Errorf("after %v: %v, want the first event after 6 s", got.took, p.texts())
		}
	})
}

func TestDrainDuringALongPollIs503(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		done := s.poll("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=25")
		time.Sleep(time.Second)
		if err := s.hub.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown with a waiting poll: %v", err)
		}
		got := <-done
		s.expect(http.StatusServiceUnavailable, got.answer)
		if n, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || n < 1 {
			t.Errorf("Retry-After: %q", got.Header.Get("Retry-After"))
		}
		if got.took > 20*time.Second {
			t.Errorf("the poll held up the drain for %v", got.took)
		}
		late := <-s.poll("/topics/wall?after=0", "Prefer: wait=25")
		s.expect(http.StatusServiceUnavailable, late.answer)
		if late.took != 0 {
			t.Errorf("a poll after the drain waited %v", late.took)
		}
	})
}

func TestDeadlineOfTheRequestShortensALongPoll(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		inner := s.Config.Handler
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
			defer cancel()
			inner.ServeHTTP(w, r.WithContext(ctx))
		})
		got := <-s.poll("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=25")
		s.decodePage(got.answer)
		if got.took >= 10*time.Second || got.took < 5*time.Second {
			t.Errorf("answered after %v, want shortly before the deadline of 10 s", got.took)
		}
		if a := got.Header.Get("Preference-Applied"); a != "wait=9" {
			t.Errorf("Preference-Applied: %q, but the server was ready to wait 9 s only", a)
		}
	})
}

func TestWriteTimeoutDoesNotCutALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInMemory(t, rest.Config{}, &http.Server{WriteTimeout: 2 * time.Second})
		for range 2 { // the second one on the same connection
			got := <-s.poll("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=25")
			s.decodePage(got.answer)
			time.Sleep(time.Minute)
		}
	})
}

func TestClientThatLeavesALongPollIsNoError(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := s.Client().Do(s.request(ctx, http.MethodGet, "/topics/wall?after="+s.hub.Position().String(), "", "Accept: application/json", "Prefer: wait=25"))
			done <- err
		}()
		synctest.Wait()
		if n := s.hub.Subscriptions(); n != 1 {
			t.Fatalf("%d subscriptions", n)
		}
		cancel()
		if err := <-done; err == nil {
			t.Fatal("an answer to a client that left")
		}
		synctest.Wait()
		if n := s.hub.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
		if log := s.log.String(); log != "" {
			t.Errorf("a client that leaves fills the log: %s", log)
		}
	})
}

func TestWaitingPollsCountAsConnections(t *testing.T) {
	var opened, closed []rest.Connection
	limited := func() rest.Config {
		return rest.Config{
			MaxConnections: 1,
			OnOpen:         func(c rest.Connection) { opened = append(opened, c) },
			OnClose:        func(c rest.Connection) { closed = append(closed, c) },
		}
	}
	inBubble(t, limited, func(t *testing.T, s *site) {
		after := "/topics/wall?after=" + s.hub.Position().String()
		done := s.poll(after, "Prefer: wait=25")
		if n := len(opened); n != 1 || opened[0].Transport != "poll" || !slices.Equal(opened[0].Topics, []string{"wall"}) || opened[0].RemoteAddr == "" {
			t.Fatalf("OnOpen: %+v", opened)
		}
		second := <-s.poll(after, "Prefer: wait=25")
		s.expect(http.StatusServiceUnavailable, second.answer)
		if second.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		s.expect(http.StatusOK, s.get("/topics/wall")) // plain pages take no place
		<-done
		if len(closed) != 1 || closed[0].ID != opened[0].ID {
			t.Errorf("OnClose: %+v", closed)
		}
		if got := <-s.poll(after, "Prefer: wait=1"); got.StatusCode != http.StatusOK {
			t.Errorf("the place was not given back: %d", got.StatusCode)
		}
	})
}

func TestLongPollOfManyTopics(t *testing.T) {
	inBubble(t, defaults, func(t *testing.T, s *site) {
		done := s.poll("/events?topic=a&topic=b/**&after="+s.hub.Position().String(), "Prefer: wait=25")
		time.Sleep(time.Second)
		if _, err := s.hub.Publish(context.Background(), push.Event{Topic: "c", Data: []byte("0")}, push.Event{Topic: "b/x/y", Data: []byte("1")},
			push.Event{Topic: "a", Data: []byte("2")}); err != nil {
			t.Fatal(err)
		}
		if p := s.decodePage((<-done).answer); !slices.Equal(p.texts(), []string{"1", "2"}) {
			t.Errorf("%v, want 1 and 2", p.texts())
		}
	})
}
