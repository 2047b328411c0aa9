package push_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// A store that is full says so: it forgets nothing before its time, least of
// all a revocation.
func TestAFullStoreForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := push.NewMemoryStore(10_000)
		n := 0
		for ; ; n++ {
			err := s.Set(t.Context(), "k/"+strconv.Itoa(n), make([]byte, 100), time.Minute)
			if errors.Is(err, push.ErrStoreFull) {
				break
			}
			if err != nil || n > 100 {
				t.Fatalf("entry %d: %v", n, err)
			}
		}
		if _, err := s.Add(t.Context(), "another", make([]byte, 100), time.Minute); !errors.Is(err, push.ErrStoreFull) {
			t.Errorf("Add to a full store: %v", err)
		}
		if all, _ := s.List(t.Context(), ""); len(all) != n || n < 20 {
			t.Errorf("%d entries went in, %d are there", n, len(all))
		}
		if err := s.Set(t.Context(), "k/0", make([]byte, 90), time.Minute); err != nil {
			t.Errorf("Set in place of a larger entry: %v", err)
		}
		_ = s.Delete(t.Context(), "k/1")
		if err := s.Set(t.Context(), "k/1", make([]byte, 100), time.Minute); err != nil {
			t.Errorf("Set after Delete: %v", err)
		}
		time.Sleep(time.Minute)
		for i := range n { // as much as before: expired entries hold no room
			if err := s.Set(t.Context(), "new/"+strconv.Itoa(i), make([]byte, 98), time.Minute); err != nil {
				t.Fatalf("entry %d after all others had expired: %v", i, err)
			}
		}
	})
}

func TestTheHubsStoreIsItsBrokers(t *testing.T) {
	b := push.NewMemory()
	for name, h := range map[string]*push.Hub{"memory": push.NewHub(b), "window": push.NewHub(struct{ push.Broker }{b})} {
		if h.Store() != b.Store() || b.Store() == nil {
			t.Errorf("%s: the hub's store is not its broker's", name)
		}
		kill(h)
	}
}

// What Announce publishes is for who asks for it by name: no pattern that
// starts with a wildcard has it, and Publish cannot forge it.
func TestAnnounceIsForReservedTopicsOnly(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		all := subscribe(t, h, push.FromHead(), []string{"**"})
		own := subscribe(t, h, push.FromHead(), []string{"$push/**"})
		e := push.Event{Topic: "$push/revoked", Name: "push.revoked", Data: []byte("x")}
		if _, err := h.Announce(t.Context(), e); err != nil {
			t.Fatalf("Announce: %v", err)
		}
		synctest.Wait()
		if got, _ := drain(t, own); len(got) != 1 || got[0] != "x" {
			t.Errorf("the library's own reader got %q", got)
		}
		nothing(t, all)
		if _, err := h.Publish(t.Context(), e); !errors.Is(err, push.ErrInvalid) {
			t.Errorf("Publish on a reserved topic: %v", err)
		}
		for _, bad := range []push.Event{
			{Topic: "wall"}, {Topic: ""}, {Topic: "$a//b"}, {Topic: "$a/*"},
			{Topic: "$a", Name: "a\nb"}, {Topic: "$a", Name: strings.Repeat("n", push.MaxNameLen+1)},
			{Topic: "$a", ContentType: "application/json", Data: []byte("{")},
		} {
			if _, err := h.Announce(t.Context(), bad); !errors.Is(err, push.ErrInvalid) {
				t.Errorf("Announce of %+v: %v", bad, err)
			}
		}
	})
}
