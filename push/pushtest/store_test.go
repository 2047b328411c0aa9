package pushtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// brokenStore is a store whose methods can be replaced.
type brokenStore struct {
	push.Store // the good one
	add        func(context.Context, string, []byte, time.Duration) (bool, error)
	set        func(context.Context, string, []byte, time.Duration) error
	get        func(context.Context, string) ([]byte, bool, error)
	take       func(context.Context, string) ([]byte, bool, error)
	delete     func(context.Context, string) error
	list       func(context.Context, string) (map[string][]byte, error)
}

func newBrokenStore() *brokenStore {
	s := push.NewMemoryStore(0)
	return &brokenStore{s, s.Add, s.Set, s.Get, s.Take, s.Delete, s.List}
}

func (b *brokenStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	return b.add(ctx, key, value, ttl)
}

func (b *brokenStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return b.set(ctx, key, value, ttl)
}

func (b *brokenStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return b.get(ctx, key)
}

func (b *brokenStore) Take(ctx context.Context, key string) ([]byte, bool, error) {
	return b.take(ctx, key)
}

func (b *brokenStore) Delete(ctx context.Context, key string) error { return b.delete(ctx, key) }

func (b *brokenStore) List(ctx context.Context, prefix string) (map[string][]byte, error) {
	return b.list(ctx, prefix)
}

// live has both ways to store change an entry's ttl.
func (b *brokenStore) live(change func(time.Duration) time.Duration) {
	b.add = func(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
		return b.Store.Add(ctx, key, value, change(ttl))
	}
	b.set = func(ctx context.Context, key string, value []byte, ttl time.Duration) error {
		return b.Store.Set(ctx, key, value, change(ttl))
	}
}

// storeMutants break the contract in one way each; the check they name must
// reject them.
var storeMutants = []struct {
	breaks, how string
	damage      func(*brokenStore)
}{
	{"Add/once", "replaces what is there", func(b *brokenStore) {
		b.add = func(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
			return true, b.Store.Set(ctx, key, value, ttl)
		}
	}},
	{"Add/race", "looks first and stores then", func(b *brokenStore) {
		b.add = func(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
			_, ok, err := b.Store.Get(ctx, key)
			time.Sleep(time.Millisecond)
			if ok || err != nil {
				return false, err
			}
			return true, b.Store.Set(ctx, key, value, ttl)
		}
	}},
	{"Add/expired", "remembers expired keys", func(b *brokenStore) {
		seen := map[string]bool{}
		b.add = func(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
			if seen[key] {
				return false, nil
			}
			seen[key] = true
			return b.Store.Add(ctx, key, value, ttl)
		}
	}},
	{"Set/replaces", "keeps what is there", func(b *brokenStore) {
		b.set = func(ctx context.Context, key string, value []byte, ttl time.Duration) error {
			_, err := b.Store.Add(ctx, key, value, ttl)
			return err
		}
	}},
	{"Set/ttl", "keeps the first ttl", func(b *brokenStore) {
		first := map[string]time.Time{}
		b.set = func(ctx context.Context, key string, value []byte, ttl time.Duration) error {
			if end, ok := first[key]; ok {
				ttl = time.Until(end)
			} else {
				first[key] = time.Now().Add(ttl)
			}
			return b.Store.Set(ctx, key, value, ttl)
		}
	}},
	{"Get/values", "trims values", func(b *brokenStore) {
		b.get = func(ctx context.Context, key string) ([]byte, bool, error) {
			v, ok, err := b.Store.Get(ctx, key)
			return []byte(strings.ToValidUTF8(string(v), "?")), ok, err
		}
	}},
	{"Get/values", "takes an empty value for none", func(b *brokenStore) {
		b.get = func(ctx context.Context, key string) ([]byte, bool, error) {
			v, ok, err := b.Store.Get(ctx, key)
			return v, ok && len(v) > 0, err
		}
	}},
	{"Get/memory", "keeps the caller's memory", func(b *brokenStore) {
		kept := map[string][]byte{}
		b.set = func(_ context.Context, key string, value []byte, _ time.Duration) error {
			kept[key] = value
			return nil
		}
		b.get = func(_ context.Context, key string) ([]byte, bool, error) { return kept[key], true, nil }
	}},
	{"Take/once", "removes nothing", func(b *brokenStore) { b.take = b.Store.Get }},
	{"Take/race", "gets first and removes then", func(b *brokenStore) {
		b.take = func(ctx context.Context, key string) ([]byte, bool, error) {
			v, ok, err := b.Store.Get(ctx, key)
			time.Sleep(time.Millisecond)
			_ = b.Store.Delete(ctx, key)
			return v, ok, err
		}
	}},
	{"Delete", "fails where there is nothing", func(b *brokenStore) {
		b.delete = func(ctx context.Context, key string) error {
			if _, ok, _ := b.Store.Take(ctx, key); !ok {
				return fmt.Errorf("no key %q", key)
			}
			return nil
		}
	}},
	{"List", "takes a prefix for a folder", func(b *brokenStore) {
		b.list = func(ctx context.Context, prefix string) (map[string][]byte, error) {
			all, err := b.Store.List(ctx, prefix)
			maps.DeleteFunc(all, func(key string, _ []byte) bool { return strings.Contains(key[len(prefix):], "/") })
			return all, err
		}
	}},
	{"Expiry", "is early", func(b *brokenStore) {
		b.live(func(d time.Duration) time.Duration { return d - 10*time.Millisecond })
	}},
	{"Expiry", "is late", func(b *brokenStore) {
		b.live(func(d time.Duration) time.Duration { return d + push.MaxStoreLag + time.Second })
	}},
	{"Invalid", "takes any ttl", func(b *brokenStore) {
		b.live(func(d time.Duration) time.Duration { return max(d, 1) })
	}},
	{"Invalid", "takes any key for a prefix", func(b *brokenStore) {
		b.list = func(ctx context.Context, _ string) (map[string][]byte, error) { return b.Store.List(ctx, "") }
	}},
	{"Context", "goes on after the end of the context", func(b *brokenStore) {
		b.take = func(ctx context.Context, key string) ([]byte, bool, error) {
			return b.Store.Take(context.WithoutCancel(ctx), key)
		}
	}},
}

func TestBrokenStoresAreRejected(t *testing.T) {
	broken := map[string]bool{}
	for _, m := range storeMutants {
		broken[m.breaks] = true
		t.Run(m.breaks+"/"+m.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenStore()
				m.damage(s)
				r := record(t, func(tb testing.TB) { tb.Helper(); storeCheckOf(t, m.breaks).run(tb, s) })
				if !r.Failed() {
					t.Errorf("%s accepts a store that %s", m.breaks, m.how)
				}
				for _, line := range r.lines() {
					t.Log(line)
				}
			})
		})
	}
	for _, c := range storeChecks {
		if !broken[c.name] {
			t.Errorf("no broken store shows that %s can fail", c.name)
		}
	}
}

func storeCheckOf(t *testing.T, name string) storeCheck {
	t.Helper()
	i := slices.IndexFunc(storeChecks, func(c storeCheck) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %s", name)
	}
	return storeChecks[i]
}

func TestTheMemoryStoreInRealTime(t *testing.T) {
	RunStore(t, func(testing.TB) push.Store { return push.NewMemoryStore(0) })
}
