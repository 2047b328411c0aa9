package natsbroker_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/pushtest"
)

// site is a server, a log in it, and a hub with a reader of all topics.
type site struct {
	*pushtest.Site
	server *server
	js     jetstream.JetStream
}

// newSite returns a site whose reader is at the head.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := siteAt(t, ownServer(t))
	s.UntilReady()
	s.Subscribe(push.FromHead())
	return s
}

// siteAt returns a site without a reader at a server that may be down.
func siteAt(t *testing.T, srv *server, opts ...nats.Option) *site {
	t.Helper()
	s := &site{server: srv, js: connect(t, srv.url(), opts...)}
	s.Site = pushtest.NewSite(t, s.node())
	s.Says = srv.log.String
	return s
}

func (s *site) node() *natsbroker.Broker {
	return natsbroker.NewWithConfig(s.js, natsbroker.Config{Timeout: 2 * time.Second})
}

// whileDown kills the server, does something and starts it, and returns when the
// connection has noticed.
func (s *site) whileDown(do func() error) {
	s.Helper()
	s.server.kill(syscall.SIGKILL)
	s.Eventually("the connection notices that the server is gone", func() bool { return !s.js.Conn().IsConnected() })
	if do != nil {
		if err := do(); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.server.start(); err != nil {
		s.Fatal(err)
	}
	s.Eventually("the connection is back", s.js.Conn().IsConnected)
	s.UntilReady()
}

// Row 44: the mount works, readiness says no and why, it keeps trying.
func TestServerIsDownAtStart(t *testing.T) {
	t.Parallel()
	server, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.remove)
	s := siteAt(t, server)
	s.Unready("not connected to NATS")
	begun := time.Now()
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, natsbroker.ErrDisconnected) {
		t.Errorf("Publish while the server is down: %v", err)
	}
	if d := time.Since(begun); d > time.Second {
		t.Errorf("Publish failed after %v", d)
	}
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	s.UntilReady()
	s.Subscribe(push.FromHead())
	s.Gets(s.Publish(3)...)
}

func TestWrongCredentialsAreNamed(t *testing.T) {
	t.Parallel()
	srv := ownServer(t)
	srv.kill(syscall.SIGKILL)
	srv.args = []string{"--user", "app", "--pass", "secret"}
	if err := srv.startWith(nats.UserInfo("app", "secret")); err != nil {
		t.Fatal(err)
	}
	s := siteAt(t, srv, nats.UserInfo("app", "wrong"), nats.IgnoreAuthErrorAbort())
	s.Unready("Authorization Violation")
	srv.kill(syscall.SIGKILL)
	srv.args = []string{"--user", "app", "--pass", "wrong"} // now it is right
	if err := srv.startWith(nats.UserInfo("app", "wrong")); err != nil {
		t.Fatal(err)
	}
	s.UntilReady()
	s.Publish(1)
}

// Whatever a topic may be, the server takes its subject.
func TestEveryTopicFitsASubject(t *testing.T) {
	s := newSite(t)
	for _, topic := range []string{strings.Repeat("a.", 100), strings.Repeat(">", 200), strings.Repeat("\u20ac/", 15) + strings.Repeat(" ", 100), "a/.b/c d/e>"} {
		ids, err := s.Hub.Publish(t.Context(), push.Event{Topic: topic})
		if err != nil {
			t.Errorf("Publish to %q: %v", topic, err)
			continue
		}
		s.Gets(ids...)
		if p, err := s.Hub.History(t.Context(), push.Query{Topics: []string{topic}}); err != nil || len(p.Events) != 1 || p.Events[0].Topic != topic {
			t.Errorf("History of %q: %+v, error %v", topic, p, err)
		}
	}
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: strings.Repeat("a", 201)}); !errors.Is(err, push.ErrInvalid) {
		t.Errorf("Publish to a topic of 201 bytes: %v", err)
	}
}

func TestServerWithoutJetStreamIsNamed(t *testing.T) {
	t.Parallel()
	srv := ownServer(t)
	srv.kill(syscall.SIGKILL)
	srv.noJetStream = true
	if err := srv.start(); err != nil {
		t.Fatal(err)
	}
	siteAt(t, srv).Unready("no JetStream answers")
}

// A stream with other limits would leave other evidence: it is refused, by name,
// and taken as soon as it is right.
func TestWrongStreamConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	srv := ownServer(t)
	js := connect(t, srv.url())
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PUSH", Subjects: []string{"push.>"}})
	if err != nil {
		t.Fatal(err)
	}
	s := siteAt(t, srv)
	s.Unready(`stream "PUSH"`, "max_msgs_per_subject is -1, not 1001", "deny_purge is false, not true", "subjects is")
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, natsbroker.ErrConfig) {
		t.Errorf("Publish: %v", err)
	}
	if err := js.DeleteStream(t.Context(), "PUSH"); err != nil {
		t.Fatal(err)
	}
	s.UntilReady()
	s.Publish(1)
}

// Row 45: the reader stays, publishing fails at once, and what was published
// before and after arrives once.
func TestServerIsKilledMidStream(t *testing.T) {
	s := newSite(t)
	for range 3 {
		before := s.Publish(5)
		s.server.kill(syscall.SIGKILL)
		s.Unready()
		begun := time.Now()
		if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); err == nil || time.Since(begun) > time.Second {
			t.Errorf("Publish while the server is down: error %v after %v", err, time.Since(begun))
		}
		s.whileDown(nil)
		s.Gets(append(before, s.Publish(5)...)...)
	}
}

// Row 46: a server that lost its end. The reader had seen what is gone.
func TestServerLosesItsEnd(t *testing.T) {
	s := newSite(t)
	first := s.Publish(10)
	s.Gets(first...)
	s.whileDown(func() error { return s.server.cutTail("PUSH", 3) })
	next := s.Publish(4) // takes sequences that are free again
	if next[0].Seq > first[9].Seq || next[0].Epoch == first[0].Epoch {
		t.Fatalf("the first event after the loss is %+v, the first lost one was %+v", next[0], first[7])
	}
	if g := s.Gap(push.ReasonEpoch); g.From != first[9] || g.To.Epoch != next[0].Epoch {
		t.Errorf("the reader at %+v got the gap %+v", first[9], g)
	}
}

// Row 46, when no node remembers: the cursor tells.
func TestServerLosesItsEndAndAllNodesRestart(t *testing.T) {
	s := newSite(t)
	first := s.Publish(10)
	s.Close()
	s.server.kill(syscall.SIGKILL)
	if err := errors.Join(s.server.cutTail("PUSH", 3), s.server.start()); err != nil {
		t.Fatal(err)
	}
	s.js = connect(t, s.server.url())
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

// The whole store comes back as it was: a backup, a volume's snapshot. It does so
// twice: the second time under an epoch that was replaced.
func TestStoreDirectoryIsRolledBack(t *testing.T) {
	s := newSite(t)
	ids := s.Publish(5)
	s.Gets(ids...)
	backup := t.TempDir()
	s.whileDown(func() error { return os.CopyFS(backup, os.DirFS(s.server.dir)) })
	s.Gets(s.Publish(5)...)
	epochs := map[uint64]bool{ids[0].Epoch: true}
	for range 2 {
		s.whileDown(func() error {
			return errors.Join(os.RemoveAll(s.server.dir), os.CopyFS(s.server.dir, os.DirFS(backup)))
		})
		next := s.Publish(1)[0]
		s.Gap(push.ReasonEpoch)
		s.Reaches(s.Publish(1)[0])
		if epochs[next.Epoch] {
			t.Errorf("the epoch of %v was replaced before: %v", next, epochs)
		}
		epochs[next.Epoch] = true
	}
}

// The disk is empty: the log begins again, in another epoch.
func TestStoreDirectoryIsWiped(t *testing.T) {
	s := newSite(t)
	s.Gets(s.Publish(5)...)
	s.whileDown(func() error { return os.RemoveAll(s.server.dir) })
	s.Publish(1)
	s.Gap(push.ReasonEpoch)
}

// Rows 47 and 50: publishing works and the connection is fine, but the feed
// brings nothing. It still sends heartbeats.
func TestFeedIsDeadAndPublishingWorks(t *testing.T) {
	s := newSite(t)
	s.Gets(s.Publish(1)...)
	until := time.Now().Add(time.Hour)
	s.eachConsumer(func(name string) error {
		_, err := s.js.PauseConsumer(t.Context(), "PUSH", name, until)
		return err
	})
	ids := s.Publish(3)
	begun := time.Now()
	s.Gets(ids...)
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("noticed after %v", d)
	}
}

func (s *site) eachConsumer(do func(name string) error) {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), "PUSH")
	if err != nil {
		s.Fatal(err)
	}
	n := 0
	for name := range stream.ConsumerNames(s.Context()).Name() {
		n++
		if err := do(name); err != nil {
			s.Fatal(err)
		}
	}
	if n == 0 {
		s.Fatal("the stream has no consumer")
	}
}

// Row 53.
func TestConsumerIsDeleted(t *testing.T) {
	s := newSite(t)
	for range 3 {
		s.Gets(s.Publish(2)...)
		s.eachConsumer(func(name string) error { return s.js.DeleteConsumer(t.Context(), "PUSH", name) })
		s.Gets(s.Publish(3)...)
	}
	if err := s.Hub.Ready(); err != nil {
		t.Errorf("the hub is not ready: %v", err)
	}
}

// Row 51: what would leave a hole without evidence is not possible.
func TestNobodyCanPurge(t *testing.T) {
	s := newSite(t)
	ids := s.Publish(5)
	stream, err := s.js.Stream(t.Context(), "PUSH")
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"purge of the stream":   stream.Purge(t.Context()),
		"purge of a subject":    stream.Purge(t.Context(), jetstream.WithPurgeSubject("push.e.a")),
		"deletion of a message": stream.DeleteMsg(t.Context(), ids[2].Seq),
	} {
		if err == nil {
			t.Errorf("%s: the server did it", what)
		}
	}
	s.Gets(ids...)
}

// Row 51: somebody lowers the limits.
func TestStreamIsEdited(t *testing.T) {
	s := newSite(t)
	s.Gets(s.Publish(5)...)
	stream, err := s.js.Stream(t.Context(), "PUSH")
	if err != nil {
		t.Fatal(err)
	}
	right := stream.CachedInfo().Config
	wrong := right
	wrong.MaxMsgsPerSubject = 2
	if _, err := s.js.UpdateStream(t.Context(), wrong); err != nil {
		t.Fatal(err)
	}
	s.Unready("max_msgs_per_subject is 2, not 1001")
	if _, err := s.js.UpdateStream(t.Context(), right); err != nil {
		t.Fatal(err)
	}
	s.UntilReady()
	s.Gets(s.Publish(2)...)
}

// Row 51: the stream is replaced by an empty one while nothing else happens. An
// ordered consumer would wait for ever.
func TestStreamIsRecreatedByAnother(t *testing.T) {
	s := newSite(t)
	s.Gets(s.Publish(5)...)
	stream, err := s.js.Stream(t.Context(), "PUSH")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.js.DeleteStream(t.Context(), "PUSH"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		t.Fatal(err)
	}
	begun := time.Now()
	s.Eventually("Publish works", func() bool {
		_, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"})
		return err == nil
	})
	s.Gap(push.ReasonEpoch)
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("noticed after %v", d)
	}
}

// Rows 35, 52: the server stops for a while. What became of a publish is unknown;
// with an idempotency key it can be tried again.
func TestServerStopsAndPublishIsTriedAgain(t *testing.T) {
	s := newSite(t)
	s.Gets(s.Publish(1)...)
	if err := s.server.freeze(); err != nil {
		t.Fatal(err)
	}
	e := push.Event{Topic: "a", Data: []byte("once"), Idem: "key"}
	begun := time.Now()
	_, err := s.Hub.Publish(t.Context(), e)
	if d := time.Since(begun); err == nil || d > 5*time.Second {
		t.Errorf("Publish to a server that stands still: error %v after %v", err, d)
	}
	s.server.thaw()
	var ids []push.ID
	s.Eventually("Publish works", func() bool {
		ids, err = s.Hub.Publish(t.Context(), e)
		return err == nil
	})
	s.Gets(append(ids, s.Publish(2)...)...)
}

// Whoever waits for an answer when the connection is lost is told at once: none
// comes any more.
func TestConnectionIsLostWhileAsking(t *testing.T) {
	s := newSite(t)
	b := s.node()
	defer func() { _ = b.Close(t.Context()) }()
	if err := s.server.freeze(); err != nil {
		t.Fatal(err)
	}
	sent := s.js.Conn().Stats().OutMsgs
	failed := make(chan error, 1)
	go func() {
		_, err := b.Head(t.Context())
		failed <- err
	}()
	s.Eventually("the question is on its way", func() bool { return s.js.Conn().Stats().OutMsgs > sent })
	s.server.kill(syscall.SIGKILL)
	begun := time.Now()
	if err := <-failed; !errors.Is(err, natsbroker.ErrDisconnected) || time.Since(begun) > time.Second {
		t.Errorf("Head: error %v, %v after the connection was lost", err, time.Since(begun))
	}
}

func TestEventAboveTheServersLimit(t *testing.T) {
	s := newSite(t)
	small := push.Event{Topic: "a", Data: []byte("small")}
	_, err := s.Hub.Publish(t.Context(), small, push.Event{Topic: "a", Data: make([]byte, 1<<20)})
	if !errors.Is(err, push.ErrTooLarge) || !strings.Contains(err.Error(), "1048576") {
		t.Errorf("Publish of an event above the server's limit: %v", err)
	}
	if head, err := s.Hub.Head(t.Context()); err != nil || head.Seq != 0 {
		t.Errorf("one event of two was too large: head %v, error %v", head, err)
	}
	ids, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a", Data: make([]byte, 1<<20-64)})
	if err != nil {
		t.Fatalf("Publish of an event just below the limit: %v", err)
	}
	s.Gets(ids...)
}

func TestNamesThatNoStreamCanHavePanic(t *testing.T) {
	t.Parallel()
	js := connect(t, "nats://127.0.0.1:1")
	for _, cfg := range []natsbroker.Config{{Stream: "a.b"}, {Prefix: "a..b"}, {Prefix: "a.>"}, {Prefix: "$JS.x"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewWithConfig(%+v) did not panic", cfg)
				}
			}()
			natsbroker.NewWithConfig(js, cfg)
		}()
	}
}
