package push_test

import (
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// TestPageOfMixedPoliciesHasNoGapForLatest guards against a gap on a page that
// the same reader is not told on its stream.
func TestPageOfMixedPoliciesHasNoGapForLatest(t *testing.T) {
	broker := push.NewMemory(push.Rules(push.Rule{Pattern: "count", Retention: push.Retention{Count: 1}}, push.Rule{Pattern: "few", Retention: push.Retention{Count: 1}}))
	hub := push.NewHub(broker, push.WithPolicy("count", push.Latest))
	t.Cleanup(func() { _ = hub.Shutdown(t.Context()) })
	var first push.ID
	for _, topic := range []string{"wall", "count", "count", "count", "few", "wall"} {
		ids, err := hub.Publish(t.Context(), push.Event{Topic: topic, Data: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		if first.IsZero() {
			first = ids[0]
		}
	}
	gap := func(topics ...string) bool {
		t.Helper()
		p, err := hub.History(t.Context(), push.Query{Topics: topics, After: first, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return p.Gap != nil
	}
	if gap("count") || gap("wall", "count") || gap("wall", "few", "count") {
		t.Error("a page tells a gap of a topic of which only the newest counts")
	}
	for range 2 {
		if _, err := hub.Publish(t.Context(), push.Event{Topic: "few", Data: []byte("2")}); err != nil {
			t.Fatal(err)
		}
	}
	if !gap("wall", "few", "count") {
		t.Error("a page hides the gap of another topic")
	}
}
