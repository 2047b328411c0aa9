package rest_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// node is a broker as one node sees it: it shares the log and the store, and
// what presence does there can fail.
type node struct {
	*push.Memory
	fails func(key string, op func() error) error
}

func (n node) Close(context.Context) error { return nil }
func (n node) Store() push.Store           { return nodeStore{n.Memory.Store(), n} }

func (n node) Publish(ctx context.Context, events ...push.Event) (ids []push.ID, err error) {
	err = n.fails("", func() (err error) { ids, err = n.Memory.Publish(ctx, events...); return err })
	return ids, err
}

type nodeStore struct {
	push.Store
	node
}

func (s nodeStore) fails(key string, op func() error) error {
	if !strings.HasPrefix(key, "presence/") {
		return op()
	}
	return s.node.fails(key, op)
}

func (s nodeStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (ok bool, err error) {
	err = s.fails(key, func() (err error) { ok, err = s.Store.Add(ctx, key, value, ttl); return err })
	return ok && err == nil, err
}

func (s nodeStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.fails(key, func() error { return s.Store.Set(ctx, key, value, ttl) })
}

func (s nodeStore) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	err = s.fails(key, func() (err error) { value, ok, err = s.Store.Get(ctx, key); return err })
	return value, ok, err
}

func (s nodeStore) Delete(ctx context.Context, key string) error {
	return s.fails(key, func() error { return s.Store.Delete(ctx, key) })
}

func (s nodeStore) List(ctx context.Context, prefix string) (all map[string][]byte, err error) {
	err = s.fails(prefix, func() (err error) { all, err = s.Store.List(ctx, prefix); return err })
	return all, err
}

// serveNode is a node of rooms over a log that others share.
func serveNode(t testing.TB, log *push.Memory, fails func(key string, op func() error) error) *site {
	cfg := rooms()
	cfg.Hub = push.NewHub(node{log, fails})
	s := serveInMemory(t, cfg, &http.Server{})
	synctest.Wait() // until it follows the log
	return s
}

func works(_ string, op func() error) error { return op() }

// unless has a node work unless it is cut off.
func unless(cut *atomic.Bool) func(string, func() error) error {
	return func(_ string, op func() error) error {
		if cut.Load() {
			return errDown
		}
		return op()
	}
}

func TestNodeThatDiesLosesItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		log := push.NewMemory()
		a := serveNode(t, log, unless(&dead))
		b, c := serveNode(t, log, works), serveNode(t, log, works)
		a.enter("/topics/room/1", ann)
		a.enter("/topics/room/1", "User: carol")
		c.enter("/topics/room/1", "User: carol")
		time.Sleep(time.Minute)
		dead.Store(true)
		at := time.Now()
		time.Sleep(time.Minute)
		if d := lastComing(t, b.hub, "room/1").Sub(at); d > 30*time.Second {
			t.Errorf("ann has left after %v", d)
		}
		if got := b.present("room/1"); !slices.Equal(got, []string{"carol"}) {
			t.Errorf("there are %v", got)
		}
		dead.Store(false) // it was only away
		time.Sleep(10 * time.Second)
		if got := comings(t, b.hub, "room/1"); !slices.Equal(got, []string{"+ann", "+carol", "-ann", "+ann"}) && !slices.Equal(got, []string{"+carol", "+ann", "-ann", "+ann"}) {
			t.Errorf("told were %v", got)
		}
		if got := c.present("room/1"); !slices.Equal(got, []string{"ann", "carol"}) {
			t.Errorf("there are %v", got)
		}
	})
}

func TestNewNodeLooksAfterWhatDeadOnesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		log := push.NewMemory()
		a := serveNode(t, log, unless(&dead))
		a.enter("/topics/room/1", ann)
		time.Sleep(time.Minute)
		dead.Store(true)
		time.Sleep(time.Minute) // in which nobody is there
		b := serveNode(t, log, works)
		time.Sleep(time.Second)
		if got := comings(t, b.hub, "room/1"); !slices.Equal(got, []string{"+ann", "-ann"}) {
			t.Errorf("told were %v", got)
		}
	})
}

// Others would take its members for left behind.
func TestNodeThatCannotSayThatItLivesAnnouncesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		log := push.NewMemory()
		a := serveNode(t, log, func(key string, op func() error) error {
			if strings.HasPrefix(key, "presence/node/") && !mended.Load() {
				return errDown
			}
			return op()
		})
		a.enter("/topics/room/1", ann)
		time.Sleep(time.Second)
		b := serveNode(t, log, works)
		time.Sleep(30 * time.Second)
		if got := comings(t, b.hub, "room/1"); len(got) > 0 {
			t.Errorf("told were %v", got)
		}
		mended.Store(true)
		time.Sleep(10 * time.Second)
		if got := comings(t, b.hub, "room/1"); !slices.Equal(got, []string{"+ann"}) {
			t.Errorf("told were %v", got)
		}
	})
}

// failing is a node's trouble: its step k fails.
type failing struct {
	k     int
	after bool // it has been done all the same
	stays bool // everything fails from then on
	n     int
}

func (f *failing) do(_ string, op func() error) error {
	f.n++
	down := f.n == f.k || f.n > f.k && f.stays
	if down && (!f.after || f.n > f.k) {
		return errDown
	}
	err := op()
	if down {
		return errDown
	}
	return err
}

// Whatever a node was doing when it died, or could not reach the store, is
// finished once. Each run fails at another step, before or after it was done,
// and in each second one somebody comes back on another node at that time.
func TestEveryStepOfPresenceCanFail(t *testing.T) {
	const steps = 45 // a few more than a join and a leave take
	for i := range 8 * steps {
		f := &failing{k: 1 + i/8, after: i&1 > 0, stays: i&2 > 0}
		back := i&4 > 0
		synctest.Test(t, func(t *testing.T) {
			log := push.NewMemory()
			b, a := serveNode(t, log, works), serveNode(t, log, f.do)
			es := a.enter("/topics/room/1", ann)
			time.Sleep(20 * time.Second)
			es.close()
			time.Sleep(11 * time.Second)
			want, there := []string{"+ann", "-ann"}, []string(nil)
			if back {
				b.enter("/topics/room/1", ann)
				want, there = append(want, "+ann"), []string{"ann"}
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if f.n < f.k {
				t.Fatalf("step %d was not reached: the test shows nothing", f.k)
			}
			got := comings(t, b.hub, "room/1")
			// A node that died early has announced nobody; and one whose leave
			// came late has not told of a pause that is over.
			if f.stays && !back && len(got) == 0 || back && len(got) == 1 {
				want = want[:len(got)]
			}
			if !slices.Equal(got, want) || !slices.Equal(b.present("room/1"), there) {
				t.Errorf("%+v, back %v: told were %v, there are %v", *f, back, got, b.present("room/1"))
			}
		})
	}
}
