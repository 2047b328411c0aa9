package pushtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// guard is how long the suite waits for what must happen.
const guard = 30 * time.Second

// pollPause is how long it waits at first between two looks at something.
const pollPause = 5 * time.Millisecond

// subject is a broker under test.
type subject struct {
	*env
	push.Broker // as the mode reaches it
	engine      Instance
}

// open returns a fresh broker, which is closed when the check ends.
func (t *env) open(rules ...push.Rule) *subject {
	t.Helper()
	in, err := t.harness.New(t.host, rules...)
	if err != nil {
		t.Fatalf("New(%+v): %v", rules, err)
	}
	b := &subject{env: t, engine: in}
	b.Broker = t.reach(in.Broker)
	return b
}

// reach returns b as the mode reaches it, and closes it when the check ends.
func (t *env) reach(b push.Broker) push.Broker {
	b = t.mode.open(t, b)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), guard)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// again returns the subject with another broker over the same log.
func (b *subject) again(other push.Broker) *subject {
	return &subject{env: b.env, Broker: b.reach(other), engine: Instance{Broker: other}}
}

// keep is a rule for all topics: a topic holds so many events.
func keep(n int) push.Rule {
	return push.Rule{Pattern: "**", Retention: push.Retention{Count: n}}
}

// ev returns an event.
func ev(topic, data string) push.Event { return push.Event{Topic: topic, Data: []byte(data)} }

// idem returns an event with an idempotency key.
func idem(topic, data, key string) push.Event {
	return push.Event{Topic: topic, Data: []byte(data), Idem: key}
}

// series returns n events of one topic.
func series(topic string, n int) []push.Event {
	events := make([]push.Event, n)
	for i := range events {
		events[i] = ev(topic, strconv.Itoa(i))
	}
	return events
}

// publish publishes events and returns them with their IDs.
func (b *subject) publish(events ...push.Event) []push.Event {
	b.Helper()
	ids, err := b.Publish(b.Context(), events...)
	if err != nil || len(ids) != len(events) {
		b.Fatalf("Publish of %d events returned %d IDs and the error %v", len(events), len(ids), err)
	}
	events = slices.Clone(events)
	for i := range events {
		events[i].ID = ids[i]
	}
	return events
}

// page reads a page.
func (b *subject) page(q push.Query) push.Page {
	b.Helper()
	p, err := b.History(b.Context(), q)
	if err != nil {
		b.Fatalf("History(%+v): %v", q, err)
	}
	return p
}

// head reads the head.
func (b *subject) head() push.ID {
	b.Helper()
	id, err := b.Head(b.Context())
	if err != nil {
		b.Fatalf("Head: %v", err)
	}
	return id
}

// all reads everything that is retained.
func (b *subject) all(topics ...string) (events []push.Event) {
	b.Helper()
	q := push.Query{Topics: topics, Limit: 1000}
	for {
		p := b.page(q)
		if len(p.Events) == 0 {
			return events
		}
		if p.Upto == q.After {
			b.Fatalf("History after %v returned events, but Upto did not move", q.After)
		}
		events, q.After = append(events, p.Events...), p.Upto
	}
}

// overflow publishes to a topic until its oldest events were removed. It
// returns what it published, and of that what is left.
func (b *subject) overflow(topic string) (published, kept []push.Event) {
	b.Helper()
	first := b.publish(ev(topic, "first"))
	published = first
	for range 512 {
		published = append(published, b.publish(series(topic, 8)...)...)
		if kept = b.all(topic); len(kept) > 0 && kept[0].ID.Seq > first[0].ID.Seq {
			return published, kept
		}
	}
	b.Fatalf("nothing was removed from a topic of %d events", len(published))
	return nil, nil
}

// newestGone returns the ID of the newest event that was published to a topic
// and is not among those that are kept.
func newestGone(published, kept []push.Event) push.ID {
	return published[len(published)-len(kept)-1].ID
}

// eventually waits until ok.
func (t *env) eventually(what string, ok func() bool) {
	t.Helper()
	wait := pollPause
	for end := time.Now().Add(guard); !ok(); wait = min(2*wait, 100*pollPause) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, guard)
		}
		t.pause(wait)
	}
}

// race calls look until work is done and look has seen all of it, which is
// when it returns true afterwards. look says whether it saw anything new.
// Whoever sees nothing new for a while lets time pass: in a bubble it does not
// while anybody is busy.
func (t *env) race(work <-chan struct{}, look func() (fresh, all bool)) {
	t.Helper()
	idle := 0
	for end := time.Now().Add(guard); time.Now().Before(end); {
		done := false
		select {
		case <-work:
			done = true
		default:
		}
		fresh, all := look()
		if done && all {
			return
		}
		if fresh {
			idle = 0
		}
		if idle++; idle%100 == 0 {
			t.pause(guard / 600)
		}
		runtime.Gosched()
	}
	t.Fatalf("not done after %v", guard)
}

// pause lets time pass: in a bubble it costs none.
func (t *env) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// settle lets everything happen that is under way, where one can know.
func (t *env) settle() {
	if t.harness.Synctest {
		synctest.Wait()
	}
}

// skips reports whether the nth case of a long table is left out. 11 has no
// common divisor with the lengths of the tables: all of their rows come.
func (t *env) skips(n int) bool { return t.harness.Costly && n%11 != 0 }

// same fails unless two lists have the same events, ID and content.
func same(t tester, what string, got, want []push.Event) {
	t.Helper()
	if !slices.EqualFunc(got, want, sameEvent) {
		t.Fatalf("%s:\n got %s\nwant %s", what, show(got), show(want))
	}
}

// sameEvent compares all but a Time that the broker set.
func sameEvent(a, b push.Event) bool {
	return a.ID == b.ID && a.Topic == b.Topic && a.Name == b.Name && a.ContentType == b.ContentType &&
		a.Key == b.Key && bytes.Equal(a.Data, b.Data) && maps.Equal(a.Meta, b.Meta) &&
		(a.Time.IsZero() || b.Time.IsZero() || a.Time.Equal(b.Time))
}

func show(events []push.Event) string {
	var s strings.Builder
	for i, e := range events {
		if i == 20 {
			fmt.Fprintf(&s, " … %d more", len(events)-i)
			break
		}
		fmt.Fprintf(&s, " %s#%d=%.20q", e.Topic, e.ID.Seq, e.Data)
	}
	return "[" + strings.TrimSpace(s.String()) + "]"
}

// another returns a number that is neither n nor 0.
func another[N uint32 | uint64](n N) N { return max(n+1, 1) }
