package pushtest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
)

// Run runs the conformance suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.New == nil {
		t.Fatal("pushtest: Harness.New is required")
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			for _, c := range m.checks() {
				t.Run(c.name, func(t *testing.T) { c.test(t, &h, m) })
			}
		})
	}
	t.Run("store", func(t *testing.T) { runStore(t, &h) })
}

// check is one subtest.
type check struct {
	name   string
	says   string // the sentences of the contract that it proves, verbatim, one a line
	run    func(*env)
	optOut func(*Harness) bool // nil: nobody can opt out of it
	alone  bool                // nothing else runs meanwhile: it restarts the engine
}

// checks are all checks of what a broker does.
func checks() []check {
	return slices.Concat(publishChecks, positionChecks, retentionChecks, tailChecks, queryChecks, pageChecks,
		gapChecks, lifeChecks, engineChecks, concurrentChecks, randomChecks)
}

// mode is a way to reach the broker.
type mode struct {
	name   string
	checks func() []check
	open   func(*env, push.Broker) push.Broker
}

var raw = mode{"raw", checks, func(_ *env, b push.Broker) push.Broker { return b }}

var modes = []mode{
	raw,
	{"hub", checks, func(t *env, b push.Broker) push.Broker { return overHub(t, push.NewHub(b, hubOptions...)) }},
	{"window", checks, func(t *env, b push.Broker) push.Broker { return overHub(t, tinyWindow(b)) }},
	{"subscriptions", func() []check { return subscriptionChecks }, raw.open},
}

func (c check) test(t *testing.T, h *Harness, m mode) {
	t.Helper()
	if h.Parallel && !c.alone {
		t.Parallel()
	}
	bubble(t, h, func(tb testing.TB) { tb.Helper(); c.prove(tb, h, m) })
}

// prove runs c. If it was opted out it must fail.
func (c check) prove(tb testing.TB, h *Harness, m mode) {
	tb.Helper()
	if c.optOut == nil || !c.optOut(h) {
		c.judge(tb, h, m)
		return
	}
	switch r := record(tb, func(tb testing.TB) { tb.Helper(); c.judge(tb, h, m) }); {
	case r.Skipped():
		tb.Skipf("opted out; that could not be proved: %v", r.lines())
	case !r.Failed():
		tb.Errorf("the harness opted out of this check, but the broker passes it: remove the opt-out")
	}
}

func (c check) judge(tb testing.TB, h *Harness, m mode) {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() && c.says != "" {
			tb.Logf("the contract says: %s", c.says)
		}
	})
	c.run(&env{tester: tb, host: tb, harness: h, mode: m, alone: c.alone})
}

// bubble runs f with a t in a synctest bubble, if the harness allows it.
func bubble(t *testing.T, h *Harness, f func(testing.TB)) {
	t.Helper()
	if !h.Synctest {
		f(t)
		return
	}
	synctest.Test(t, func(t *testing.T) { f(t) })
}

// tester is what checks need of a testing.TB. A *rapid.T has it, too.
type tester interface {
	Helper()
	Context() context.Context
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// env is what a check runs with.
type env struct {
	tester
	host    testing.TB // for Harness.New; tester may be a *rapid.T
	harness *Harness
	mode    mode
	alone   bool // as the check says
}
