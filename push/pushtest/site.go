package pushtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Site is a hub over a broker with one reader of all topics: what tests of
// faults look through. What it waits for it waits for 30 s. Its methods fail the
// test; they are for its goroutine.
type Site struct {
	testing.TB
	Hub *push.Hub

	// Says returns what the engine said, for the messages of failures. Optional.
	Says func() string

	sub   *push.Subscription
	count int
}

// NewSite returns a site without a reader. Its hub is shut down when the test
// ends.
func NewSite(tb testing.TB, b push.Broker, opts ...push.HubOption) *Site {
	tb.Helper()
	s := &Site{TB: tb}
	s.Open(b, opts...)
	return s
}

// Open puts a hub over another broker in the place of that which the site has:
// as a process that was started again.
func (s *Site) Open(b push.Broker, opts ...push.HubOption) {
	hub := push.NewHub(b, append(opts, push.WithDrainWindow(0))...)
	s.Hub = hub
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), guard)
		defer cancel()
		if err := hub.Shutdown(ctx); err != nil {
			s.Errorf("Shutdown: %v", err)
		}
	})
}

// Subscribe puts a reader that starts somewhere in the place of that which the
// site has, as soon as the hub is ready.
func (s *Site) Subscribe(from push.Start) {
	s.Helper()
	s.Eventually("Subscribe works", func() bool {
		sub, err := s.Hub.Subscribe(s.Context(), []string{"**"}, from)
		if errors.Is(err, push.ErrNotReady) {
			return false
		}
		if err != nil {
			s.Fatalf("Subscribe: %v", err)
		}
		s.Cleanup(sub.Close)
		s.sub = sub
		return true
	})
}

// Eventually waits until ok.
func (s *Site) Eventually(what string, ok func() bool) {
	s.Helper()
	pause := time.NewTicker(2 * pollPause)
	defer pause.Stop()
	for end := time.Now().Add(guard); !ok(); <-pause.C {
		if time.Now().After(end) {
			s.Fatalf("%s: not after %v; the hub says: %v%s", what, guard, s.Hub.Ready(), s.said())
		}
	}
}

func (s *Site) said() string {
	if s.Says == nil {
		return ""
	}
	return "; the engine: " + s.Says()
}

// UntilReady waits until the hub is ready.
func (s *Site) UntilReady() {
	s.Helper()
	s.Eventually("the hub is ready", func() bool { return s.Hub.Ready() == nil })
}

// Unready waits until the hub says why it is not ready, in certain words.
func (s *Site) Unready(words ...string) {
	s.Helper()
	s.Eventually(fmt.Sprintf("the hub says that it is not ready, and %q", words), func() bool {
		err := s.Hub.Ready()
		if !errors.Is(err, push.ErrNotReady) {
			return false
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				return false
			}
		}
		return true
	})
}

// Publish publishes n events to topic a.
func (s *Site) Publish(n int) []push.ID {
	s.Helper()
	return s.PublishTo("a", n)
}

// PublishTo publishes n events to a topic, one by one.
func (s *Site) PublishTo(topic string, n int) (ids []push.ID) {
	s.Helper()
	for range n {
		s.count++
		id, err := s.Hub.Publish(s.Context(), push.Event{Topic: topic, Data: fmt.Append(nil, s.count)})
		if err != nil {
			s.Fatalf("Publish: %v%s", err, s.said())
		}
		ids = append(ids, id...)
	}
	return ids
}

// Next returns the reader's next batch with an event or a gap.
func (s *Site) Next() push.Batch {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), guard)
	defer cancel()
	for {
		b, err := s.sub.Next(ctx)
		if err != nil {
			s.Fatalf("Next: %v; the hub says: %v%s", err, s.Hub.Ready(), s.said())
		}
		if b.Gap != nil || len(b.Messages) > 0 {
			return b
		}
	}
}

// Gets fails unless the reader gets these events next, and no gap.
func (s *Site) Gets(want ...push.ID) {
	s.Helper()
	for len(want) > 0 {
		b := s.Next()
		if b.Gap != nil {
			s.Fatalf("the reader got the gap %+v, want the events %v", b.Gap, want)
		}
		for _, m := range b.Messages {
			if len(want) == 0 || m.ID != want[0] {
				s.Fatalf("the reader got %v, want %v", m.ID, want)
			}
			want = want[1:]
		}
	}
}

// Gap fails unless the reader is told a gap for a reason next.
func (s *Site) Gap(reason push.Reason) *push.Gap {
	s.Helper()
	b := s.Next()
	if b.Gap == nil || b.Gap.Reason != reason {
		s.Fatalf("the reader got the gap %+v and %d events, want a gap %q", b.Gap, len(b.Messages), reason)
	}
	return b.Gap
}

// Reaches waits until the reader has got an event, and fails if it is told a gap
// before. It returns what the reader got.
func (s *Site) Reaches(id push.ID) (got []push.ID) {
	s.Helper()
	for len(got) == 0 || got[len(got)-1] != id {
		b := s.Next()
		if b.Gap != nil {
			s.Fatalf("the reader got the gap %+v on the way to %v", b.Gap, id)
		}
		for _, m := range b.Messages {
			got = append(got, m.ID)
		}
	}
	return got
}

// Close ends the site's reader and hub.
func (s *Site) Close() {
	s.Helper()
	s.sub.Close()
	if err := s.Hub.Shutdown(s.Context()); err != nil {
		s.Fatal(err)
	}
}
