package pushtest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// RunStore checks every sentence of the contract of push.Store, in real time.
// open returns an empty store and registers with tb.Cleanup what there is to
// free. Run does the same with a broker's store.
func RunStore(t *testing.T, open func(tb testing.TB) push.Store) {
	t.Helper()
	for _, c := range storeChecks {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// storeCheck is one check of RunStore. It needs an empty store.
type storeCheck struct {
	name string
	run  func(tb testing.TB, s push.Store)
}

// runStore runs the checks with the stores of brokers.
func runStore(t *testing.T, h *Harness) {
	t.Helper()
	for _, c := range storeChecks {
		t.Run(c.name, func(t *testing.T) {
			if h.Parallel {
				t.Parallel()
			}
			bubble(t, h, func(tb testing.TB) {
				tb.Helper()
				c.run(tb, (&env{tester: tb, host: tb, harness: h, mode: raw}).open().Store())
			})
		})
	}
}

var storeChecks = []storeCheck{
	{"Add/once", storeAddOnce},
	{"Add/race", storeAddRace},
	{"Add/expired", storeAddExpired},
	{"Set/replaces", storeSetReplaces},
	{"Set/ttl", storeSetTTL},
	{"Get/values", storeGetValues},
	{"Get/memory", storeMemory},
	{"Take/once", storeTakeOnce},
	{"Take/race", storeTakeRace},
	{"Delete", storeDelete},
	{"List", storeList},
	{"Expiry", storeExpiry},
	{"Invalid", storeInvalid},
	{"Context", storeContext},
}

// stored is a store whose errors end the check.
type stored struct {
	testing.TB
	push.Store
}

func (s stored) add(key, value string, ttl time.Duration) bool {
	s.Helper()
	ok, err := s.Add(s.Context(), key, []byte(value), ttl)
	if err != nil {
		s.Fatalf("Add(%q): %v", key, err)
	}
	return ok
}

func (s stored) set(key, value string, ttl time.Duration) {
	s.Helper()
	if err := s.Set(s.Context(), key, []byte(value), ttl); err != nil {
		s.Fatalf("Set(%q): %v", key, err)
	}
}

const absent = "(absent)"

func (s stored) get(key string) string { s.Helper(); return s.text(s.Get, key) }

func (s stored) take(key string) string { s.Helper(); return s.text(s.Take, key) }

func (s stored) text(f func(context.Context, string) ([]byte, bool, error), key string) string {
	s.Helper()
	value, ok, err := f(s.Context(), key)
	switch {
	case err != nil:
		s.Fatalf("%q: %v", key, err)
	case !ok:
		if value != nil {
			s.Errorf("%q is not there, but has the value %q", key, value)
		}
		return absent
	}
	return string(value)
}

func (s stored) want(what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func storeAddOnce(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	if !t.add("tickets/a", "1", time.Hour) || t.add("tickets/a", "2", time.Hour) {
		t.Errorf("Add of a key that was not there, and again, did not return true and false")
	}
	t.want("the first value stays", t.get("tickets/a"), "1")
	if !t.add("tickets/b", "3", time.Hour) {
		t.Errorf("Add of another key returned false")
	}
}

// race runs f many times at once and returns how often it was true.
func race(f func(i int) bool) (won int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range 50 {
		all.Go(func() {
			<-begin
			if f(i) {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	close(begin)
	all.Wait()
	return won
}

func storeAddRace(tb testing.TB, s push.Store) {
	tb.Helper()
	for round := range 10 {
		key := "a/" + strconv.Itoa(round)
		won := race(func(i int) bool {
			ok, err := s.Add(tb.Context(), key, []byte(strconv.Itoa(i)), time.Hour)
			if err != nil {
				tb.Errorf("Add: %v", err)
			}
			return ok
		})
		if won != 1 {
			tb.Errorf("of 50 calls of Add at once %d stored their value", won)
		}
	}
}

func storeTakeRace(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	for round := range 10 {
		key := "a/" + strconv.Itoa(round)
		t.set(key, "x", time.Hour)
		won := race(func(int) bool {
			_, ok, err := s.Take(tb.Context(), key)
			if err != nil {
				tb.Errorf("Take: %v", err)
			}
			return ok
		})
		if won != 1 {
			t.Errorf("of 50 calls of Take at once %d got the value", won)
		}
	}
}

// shortTTL is short, for real engines, and one that all can keep.
const shortTTL = 2 * time.Second

func storeAddExpired(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.add("a", "old", shortTTL)
	t.untilGone("a")
	if !t.add("a", "new", time.Hour) {
		t.Errorf("Add of an expired key returned false")
	}
	t.want("the new value", t.get("a"), "new")
}

// untilGone waits for a key to expire and returns when it was last seen.
func (s stored) untilGone(key string) (seen time.Time) {
	s.Helper()
	end := time.Now().Add(guard)
	for time.Now().Before(end) {
		before := time.Now()
		if s.get(key) == absent {
			return seen
		}
		seen = before
		select {
		case <-time.After(pollPause):
		case <-s.Context().Done():
		}
	}
	s.Fatalf("%q is there after %v", key, guard)
	return seen
}

func storeSetReplaces(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.set("a", "1", time.Hour)
	t.set("a", "2", time.Hour)
	t.want("the newer value", t.get("a"), "2")
	t.add("b", "1", time.Hour)
	t.set("b", "2", time.Hour)
	t.want("the value set after Add", t.get("b"), "2")
}

// storeSetTTL: the ttl of the newer value holds, be it longer or shorter.
func storeSetTTL(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.set("longer", "1", shortTTL)
	t.set("longer", "2", time.Hour)
	t.set("shorter", "1", time.Hour)
	t.set("shorter", "2", shortTTL)
	t.set("late", "1", shortTTL)
	t.untilGone("shorter")
	t.untilGone("late")
	t.want("a key whose ttl was made longer", t.get("longer"), "2")
}

func storeGetValues(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.want("a key that never was", t.get("none"), absent)
	binary := make([]byte, 0, 256)
	for i := range 256 {
		binary = append(binary, byte(i))
	}
	key := strings.Repeat("aZ9-_=/x", push.MaxStoreKey/8)
	for name, value := range map[string]string{
		"empty": "", "binary": string(binary), key: "the longest key", "large": strings.Repeat("v", push.MaxStoreValue),
	} {
		t.set(name, value, time.Hour)
		t.want(name, t.get(name), value)
	}
}

func storeMemory(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	value := []byte("mine")
	if err := s.Set(tb.Context(), "a", value, time.Hour); err != nil {
		t.Fatalf("Set: %v", err)
	}
	value[0] = 'X'
	got, _, _ := s.Get(tb.Context(), "a")
	if len(got) > 0 {
		got[0] = 'Y'
	}
	list, _ := s.List(tb.Context(), "a")
	if len(list["a"]) > 0 {
		list["a"][0] = 'Z'
	}
	t.want("a value whose copies were changed", t.get("a"), "mine")
}

func storeTakeOnce(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.want("a key that never was", t.take("a"), absent)
	t.set("a", "1", time.Hour)
	t.set("b", "2", time.Hour)
	t.want("the first Take", t.take("a"), "1")
	t.want("the second Take", t.take("a"), absent)
	t.want("Get after Take", t.get("a"), absent)
	t.want("another key", t.get("b"), "2")
	if !t.add("a", "3", time.Hour) {
		t.Errorf("Add of a key that was taken returned false")
	}
	t.set("c", "4", shortTTL)
	t.untilGone("c")
	t.want("Take of an expired key", t.take("c"), absent)
}

func storeDelete(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.set("a", "1", time.Hour)
	t.set("ab", "2", time.Hour)
	for range 2 {
		if err := s.Delete(tb.Context(), "a"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		t.want("a deleted key", t.get("a"), absent)
	}
	t.want("another key", t.get("ab"), "2")
	if !t.add("a", "3", time.Hour) {
		t.Errorf("Add of a deleted key returned false")
	}
}

func storeList(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.list("")
	all := []string{"p/a", "p/a/b", "p/b", "p", "pp/a", "q/a"}
	for i, key := range all {
		t.set(key, strconv.Itoa(i), time.Hour)
	}
	t.list("", all...)
	t.list("p/", "p/a", "p/a/b", "p/b")
	t.list("p/a", "p/a", "p/a/b")
	t.list("p", "p", "p/a", "p/a/b", "p/b", "pp/a")
	t.list("x")
	t.take("p/a")
	t.set("p/c", "", shortTTL)
	t.untilGone("p/c")
	t.list("p/", "p/a/b", "p/b")
	if list, _ := s.List(tb.Context(), "q/"); string(list["q/a"]) != "5" {
		t.Errorf("List has the value %q for q/a, want 5", list["q/a"])
	}
}

func (s stored) list(prefix string, want ...string) {
	s.Helper()
	got, err := s.List(s.Context(), prefix)
	if err != nil {
		s.Fatalf("List(%q): %v", prefix, err)
	}
	slices.Sort(want)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		s.Errorf("List(%q) has %q, want %q", prefix, keys, want)
	}
}

// storeExpiry: not early, and not later than allowed.
func storeExpiry(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	before := time.Now()
	t.set("set", "1", shortTTL)
	t.add("add", "1", shortTTL)
	after := time.Now()
	t.set("stays", "1", time.Hour)
	for _, key := range []string{"set", "add"} {
		seen := t.untilGone(key)
		if d := time.Since(before); d < shortTTL {
			t.Errorf("%s: gone after %v, its ttl is %v", key, d, shortTTL)
		}
		if d := seen.Sub(after); d > shortTTL+push.MaxStoreLag {
			t.Errorf("%s: there after %v, its ttl is %v", key, d, shortTTL)
		}
	}
	t.want("a key with a long ttl", t.get("stays"), "1")
}

func storeInvalid(tb testing.TB, s push.Store) {
	tb.Helper()
	ctx, ok := tb.Context(), []byte("v")
	refuse := func(what string, err error) {
		tb.Helper()
		if !errors.Is(err, push.ErrInvalid) {
			tb.Errorf("%s: got the error %v, want one that is ErrInvalid", what, err)
		}
	}
	for _, key := range []string{"", "a b", "a.b", "ä", "a\x00", "a*", "a>", strings.Repeat("a", push.MaxStoreKey+1)} {
		_, err := s.Add(ctx, key, ok, time.Hour)
		refuse("Add of the key "+strconv.Quote(key), err)
		refuse("Set of the key "+strconv.Quote(key), s.Set(ctx, key, ok, time.Hour))
		_, _, err = s.Get(ctx, key)
		refuse("Get of the key "+strconv.Quote(key), err)
		_, _, err = s.Take(ctx, key)
		refuse("Take of the key "+strconv.Quote(key), err)
		refuse("Delete of the key "+strconv.Quote(key), s.Delete(ctx, key))
		if key != "" {
			_, err = s.List(ctx, key)
			refuse("List of the prefix "+strconv.Quote(key), err)
		}
	}
	for _, ttl := range []time.Duration{0, -time.Second} {
		_, err := s.Add(ctx, "a", ok, ttl)
		refuse("Add with the ttl "+ttl.String(), err)
		refuse("Set with the ttl "+ttl.String(), s.Set(ctx, "a", ok, ttl))
	}
	refuse("Set of a value that is too large", s.Set(ctx, "a", bytes.Repeat(ok, push.MaxStoreValue+1), time.Hour))
	stored{tb, s}.list("")
}

func storeContext(tb testing.TB, s push.Store) {
	tb.Helper()
	t := stored{tb, s}
	t.set("a", "1", time.Hour)
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	_, add := s.Add(ctx, "b", nil, time.Hour)
	_, _, get := s.Get(ctx, "a")
	_, _, take := s.Take(ctx, "a")
	_, list := s.List(ctx, "")
	for what, err := range map[string]error{
		"Add": add, "Get": get, "Take": take, "List": list,
		"Set": s.Set(ctx, "a", []byte("2"), time.Hour), "Delete": s.Delete(ctx, "a"),
	} {
		if err == nil {
			t.Errorf("%s with a context that has ended returned no error", what)
		}
	}
	t.list("", "a")
	t.want("a key after calls whose context had ended", t.get("a"), "1")
}
