package pushtest

import (
	"context"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// Harness says how to make the broker under test, and what its engine cannot
// do. New is required. Without
// Parallel the suite calls nothing of it concurrently.
type Harness struct {
	// New returns a fresh, empty broker whose topics have the given rules,
	// without rules those that a zero push.Retention says. It returns an error for
	// rules that the engine cannot keep. The suite closes the broker; what
	// else there is to free New registers with tb.Cleanup.
	New func(tb testing.TB, rules ...push.Rule) (Instance, error)

	// Synctest says that the broker does no I/O and shares nothing with
	// goroutines of other tests: then each check runs in a testing/synctest
	// bubble. Checks of times that are too long to wait for need it.
	Synctest bool

	// Backlog says that Tail delivers for a while what History has removed
	// already: the engine keeps its newest events twice. Then Tail must
	// deliver all, or end with a TailGap.
	Backlog bool

	// Parallel says that checks may run in parallel: New is called
	// concurrently, and what is done to the engine of one Instance leaves those
	// of others alone. Only Restart need not: nothing else runs meanwhile.
	Parallel bool

	// Costly says that each call is a round trip: of the longest tables of
	// cases each eleventh is run.
	Costly bool

	// The opt-outs. Checks that need what is named here must fail.

	NoEphemeral bool // rules that are Ephemeral
	NoRules     bool // more than one rule, not counting ephemeral ones: one Retention holds for all topics
	NoBytes     bool // Retention.Bytes, for each topic
	NoAge       bool // Retention.Age
	Approximate bool // a topic never holds more events than its Count
}

// Instance is one broker under test and what can be done to its engine. The
// functions are nil where the engine has no such thing; checks that need them
// are skipped.
type Instance struct {
	Broker push.Broker

	// Purge removes all events of a topic.
	Purge func(ctx context.Context, topic string) error

	// Lose has the engine lose the whole log, while the broker is connected.
	Lose func(ctx context.Context) error

	// Rewind has the engine lose the newest n events, while the broker is
	// connected: what happens when a replica takes over that lags.
	Rewind func(ctx context.Context, n int) error

	// Restart restarts the engine without loss, while the broker is
	// connected.
	Restart func(ctx context.Context) error

	// Reopen returns another broker over the same log, as a second node has
	// it, or a process after its restart. The suite closes it.
	Reopen func(ctx context.Context) (push.Broker, error)
}
