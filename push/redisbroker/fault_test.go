package redisbroker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/pushtest"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// site is a server, a log in it, and a hub with a reader of all topics.
type site struct {
	*pushtest.Site
	*server
	rdb *redis.Client // the hub's
	by  *redis.Client // another's

	timeout time.Duration // of the hub's broker

	gate sync.RWMutex // the hub's client connects while nobody holds it
	deaf atomic.Bool  // what it waits for with XREAD does not come
}

// newSite returns a site whose reader is at the head.
func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	s := siteAt(t, startServer(t, args...))
	s.UntilReady()
	s.Subscribe(push.FromHead())
	return s
}

// siteAt returns a site without a reader at a server that may be down.
func siteAt(t *testing.T, srv *server, opts ...func(*redis.Options)) *site {
	t.Helper()
	s := &site{server: srv, by: srv.open(t), timeout: 5 * time.Second}
	s.rdb = srv.open(t, append(opts, func(o *redis.Options) { o.Dialer = s.dial })...)
	s.Site = pushtest.NewSite(t, s.node())
	s.Says = srv.said
	return s
}

func (s *site) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &conn{Conn: c, deaf: &s.deaf}, err
}

// conn is a connection that goes on, but does not bring what XREAD waits for
// while deaf is set.
type conn struct {
	net.Conn
	deaf    *atomic.Bool
	waiting atomic.Bool
}

func (c *conn) Write(p []byte) (int, error) {
	c.waiting.Store(bytes.Contains(bytes.ToLower(p), []byte("xread")))
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.deaf.Load() || !c.waiting.Load() {
			return n, err
		}
	}
}

func (s *site) node() *redisbroker.Broker {
	return redisbroker.NewWithConfig(s.rdb, redisbroker.Config{Timeout: s.timeout})
}

// whileDown kills the server, does something and starts it.
func (s *site) whileDown(do func() error) {
	s.Helper()
	s.kill()
	if err := do(); err != nil {
		s.Fatal(err)
	}
	s.start()
	s.UntilReady()
}

// do has another client do something.
func (s *site) do(args ...any) {
	s.Helper()
	if err := s.by.Do(s.Context(), args...).Err(); err != nil {
		s.Fatalf("%v: %v", args, err)
	}
}

// resumes publishes an event as soon as that works.
func (s *site) resumes() (id push.ID) {
	s.Helper()
	s.Eventually("Publish works", func() bool {
		ids, err := s.Hub.Publish(s.Context(), push.Event{Topic: "a"})
		if err == nil {
			id = ids[0]
		}
		return err == nil
	})
	return id
}

// Row 44: the mount works, readiness says no and why, it keeps trying.
func TestServerIsDownAtStart(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newServer(t))
	s.Unready("no answer from Redis", "no such file")
	begun := time.Now()
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, redisbroker.ErrDisconnected) {
		t.Errorf("Publish while the server is down: %v", err)
	}
	if d := time.Since(begun); d > 4*time.Second {
		t.Errorf("Publish failed after %v", d)
	}
	s.start()
	s.UntilReady()
	s.Subscribe(push.FromHead())
	s.Gets(s.Publish(3)...)
}

// Row 47: a master that was made a replica, and is cut off from its own master,
// must not say that there is nothing new.
func TestServerIsADetachedReplica(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Gets(s.Publish(1)...)
	s.do("REPLICAOF", "127.0.0.1", "1") // which is not there
	s.Unready("READONLY")
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("Publish: %v", err)
	}
	s.do("REPLICAOF", "NO", "ONE")
	s.UntilReady()
	s.Gets(s.Publish(1)...)
}

// Row 45: the reader stays, publishing fails at once, and what was published
// before and after arrives once.
func TestServerIsKilledMidStream(t *testing.T) {
	t.Parallel()
	s := newSite(t, always...)
	for range 2 {
		before := s.Publish(5)
		s.kill()
		s.Unready("no answer from Redis")
		begun := time.Now()
		if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); err == nil || time.Since(begun) > 4*time.Second {
			t.Errorf("Publish while the server is down: error %v after %v", err, time.Since(begun))
		}
		s.start()
		s.UntilReady()
		s.Gets(append(before, s.Publish(5)...)...)
	}
}

// Row 46: acknowledged and lost is told as another epoch, whatever the server
// lost it by, to who had got it and to who had not.
func TestServerLosesItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		keep func(*site)
		lose func(*site) error
	}{
		"everysec": {everysec, func(*site) {}, func(s *site) error { return s.cutLog(3) }},
		"RDB":      {snapshot, func(s *site) { s.do("SAVE") }, func(*site) error { return nil }},
		"none":     {snapshot, func(*site) {}, func(*site) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.args...)
			s.Gets(s.Publish(7)...)
			c.keep(s)
			lost := s.Publish(3)
			s.Gets(lost...)
			s.whileDown(func() error { return c.lose(s) })
			next := s.Publish(4)
			if next[0].Epoch == lost[0].Epoch {
				t.Fatalf("the first event after the loss is %+v, the first lost one was %+v", next[0], lost[0])
			}
			if g := s.Gap(push.ReasonEpoch); g.From != lost[2] || g.To.Epoch != next[0].Epoch {
				t.Errorf("the reader at %+v got the gap %+v", lost[2], g)
			}
			s.Subscribe(push.After(lost[0])) // as one who comes back
			s.Gap(push.ReasonEpoch)
		})
	}
}

// Row 46, when no node remembers: the cursor tells.
func TestServerLosesItsEndAndAllNodesRestart(t *testing.T) {
	s := newSite(t, always...)
	first := s.Publish(10)
	s.Close()
	s.kill()
	if err := s.cutLog(3); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.Open(s.node())
	s.UntilReady()
	s.Subscribe(push.After(first[9]))
	s.Gap(push.ReasonEpoch) // beyond the head
	s.Publish(10)
	s.Subscribe(push.After(first[8]))
	s.Gap(push.ReasonEpoch) // another event
	s.Subscribe(push.After(first[6]))
	if b := s.Next(); b.Gap != nil {
		t.Errorf("after an event that was not lost: gap %+v", b.Gap)
	}
}

// Row 46, when a node that knows nothing was first, and has used the numbers
// again: the node that knows more finds another event at its position.
func TestAnotherNodeUsesLostNumbersAgain(t *testing.T) {
	s := newSite(t, always...)
	first := s.Publish(10)
	s.Gets(first...)
	s.losesAndAnotherGoesOn(3, 8, first[9])
	next := s.resumes()
	if next.Epoch == first[0].Epoch {
		t.Errorf("the log went on as %+v, though #10 is another event", next)
	}
	s.Gap(push.ReasonEpoch)
}

// losesAndAnotherGoesOn cuts n transactions off, and has another process publish m events
// before the site's client reaches the server again.
func (s *site) losesAndAnotherGoesOn(n, m int, seen push.ID) {
	s.Helper()
	s.kill()
	if err := s.cutLog(n); err != nil {
		s.Fatal(err)
	}
	hidden := s.dir + "/hidden"
	s.startAt(hidden)
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: hidden})
	other := redisbroker.New(rdb)
	for range m {
		ids, err := other.Publish(s.Context(), push.Event{Topic: "b"})
		if err != nil || ids[0].Epoch != seen.Epoch {
			s.Fatalf("a process that knows nothing published as %v: %v", ids, err)
		}
	}
	if err := errors.Join(other.Close(s.Context()), rdb.Close(), os.Rename(hidden, s.socket())); err != nil {
		s.Fatal(err)
	}
}

// The whole directory comes back as it was: a backup, a volume's snapshot.
func TestDirectoryIsRolledBack(t *testing.T) {
	s := newSite(t, always...)
	s.Gets(s.Publish(5)...)
	backup := t.TempDir()
	s.whileDown(func() error { return os.CopyFS(backup, os.DirFS(s.data())) })
	s.Gets(s.Publish(5)...)
	s.whileDown(func() error {
		return errors.Join(os.RemoveAll(s.data()), os.CopyFS(s.data(), os.DirFS(backup)))
	})
	s.Publish(1)
	s.Gap(push.ReasonEpoch)
}

func TestDirectoryIsWiped(t *testing.T) {
	s := newSite(t, always...)
	s.Gets(s.Publish(5)...)
	s.whileDown(func() error { return os.RemoveAll(s.data()) })
	s.Publish(1)
	s.Gap(push.ReasonEpoch)
}

// The feed is trimmed before the hub has read it: its readers go on through
// History, and miss nothing.
func TestFeedIsTrimmedBeforeItWasRead(t *testing.T) {
	for _, trim := range [][]any{{"XTRIM", "{push}:feed", "MAXLEN", 2}, {"XTRIM", "{push}:feed", "MAXLEN", 0}, {"DEL", "{push}:feed"}} {
		t.Run(fmt.Sprint(trim...), func(t *testing.T) {
			s := newSite(t, kernel...)
			s.Gets(s.Publish(3)...)
			var ids []push.ID
			s.frozen(func() { // the hub does not read
				rdb := s.open(t)
				other := redisbroker.New(rdb)
				for range 5 {
					id, err := other.Publish(t.Context(), push.Event{Topic: "a"})
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, id...)
				}
				s.do(trim...)
				if err := other.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
			s.Gets(append(ids, s.Publish(2)...)...)
		})
	}
}

// frozen closes the connections of the site's client, and opens none while do
// runs.
func (s *site) frozen(do func()) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.do("CLIENT", "KILL", "SKIPME", "yes")
	do()
}

// Row 50: publishing works, but what the server sends to who waits for news does
// not arrive.
func TestFeedIsDeadAndPublishingWorks(t *testing.T) {
	t.Parallel()
	s := newSite(t, kernel...)
	s.Gets(s.Publish(1)...)
	s.deaf.Store(true)
	ids := s.Publish(3)
	begun := time.Now()
	s.Gets(ids...)
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("noticed after %v", d)
	}
}

// Connections are cut while many publish: the client sends what it got no answer
// for again, and it is in the log once.
func TestConnectionsAreKilledWhilePublishing(t *testing.T) {
	s := newSite(t, kernel...)
	const publishers, each = 8, 60
	var mu sync.Mutex
	acknowledged := map[push.ID]string{}
	var work sync.WaitGroup
	for p := range publishers {
		work.Go(func() {
			for i := range each {
				name := fmt.Sprint(p, "/", i)
				ids, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a", Data: []byte(name)})
				mu.Lock()
				if err == nil {
					acknowledged[ids[0]] = name
				}
				mu.Unlock()
				if i%20 == 10 {
					if err := s.by.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	work.Wait()
	end := s.resumes()
	names := map[string]bool{}
	for at := (push.ID{}); at != end; {
		b := s.Next()
		if b.Gap != nil {
			t.Fatalf("gap %+v", b.Gap)
		}
		for _, m := range b.Messages {
			at = m.ID
			if name, ok := acknowledged[m.ID]; ok && name != string(m.Data) {
				t.Errorf("%v is %q, it was acknowledged as %q", m.ID, m.Data, name)
			}
			if len(m.Data) > 0 && names[string(m.Data)] {
				t.Errorf("%q came twice", m.Data)
			}
			names[string(m.Data)] = true
			delete(acknowledged, m.ID)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("acknowledged, but not delivered: %v", acknowledged)
	}
}

// Rows 35, 52: the server stands still for a while. What became of a publish is
// unknown; with an idempotency key it can be tried again.
func TestServerStopsAndPublishIsTriedAgain(t *testing.T) {
	stops := map[string]func(s *site) func(){
		"SIGSTOP": func(s *site) func() {
			s.signal(syscall.SIGSTOP)
			return func() { s.signal(syscall.SIGCONT) }
		},
		"CLIENT PAUSE": func(s *site) func() {
			s.do("CLIENT", "PAUSE", 3000)
			return func() {}
		},
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, kernel...)
			s.timeout = 2 * time.Second
			s.Open(s.node())
			s.Subscribe(push.FromHead())
			s.Gets(s.Publish(1)...)
			resume := stop(s)
			e := push.Event{Topic: "a", Data: []byte("once"), Idem: "key"}
			begun := time.Now()
			_, err := s.Hub.Publish(t.Context(), e)
			if d := time.Since(begun); !errors.Is(err, redisbroker.ErrDisconnected) || d > 5*time.Second {
				t.Errorf("Publish to a server that stands still: error %v after %v", err, d)
			}
			resume()
			var ids []push.ID
			s.Eventually("Publish works", func() bool {
				ids, err = s.Hub.Publish(t.Context(), e)
				return err == nil
			})
			s.Gets(append(ids, s.Publish(2)...)...)
		})
	}
}
