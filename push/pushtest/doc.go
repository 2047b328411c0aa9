// Package pushtest is the conformance suite that every push.Broker must pass.
//
//	func TestConformance(t *testing.T) {
//		pushtest.Run(t, pushtest.Harness{
//			New: func(tb testing.TB, rules ...push.Rule) (pushtest.Instance, error) {
//				b, err := mybroker.New(startServer(tb), rules...)
//				return pushtest.Instance{Broker: b}, err
//			},
//		})
//	}
//
// # What it checks
//
// Every sentence of the documentation of push.Broker, push.Query, push.Page,
// push.Gap and push.TailGap is a subtest, which prints the sentence when it
// fails. A test of this package compares the two, so that neither the contract
// nor the suite can change alone.
//
// All checks run three times: against the broker itself ("raw"), through a
// push.Hub over it ("hub"), and through a hub that keeps only a tiny window of
// the log and so reads almost everything back from the broker ("window"). The
// broker's push.Store is checked as RunStore does ("store"). At last random
// histories of subscriptions on both kinds of hub are compared with a model.
//
// # What it does not take on trust
//
// An opt-out (Harness.NoAge and its like) is checked as well: a check that was
// opted out must fail, so that nobody opts out of what works.
//
// The suite itself is tested with brokers that are broken on purpose: each
// check must reject one that breaks its sentence.
//
// # Several nodes
//
// Package fleet, next to this one, runs nodes over one log as processes of their
// own, and kills them.
//
// # Time
//
// With Harness.Synctest all checks run in testing/synctest bubbles, where hours
// cost nothing and a goroutine that is left behind is an error. Brokers that do
// I/O run in real time. There the suite waits for what must happen, and never
// for a time in which something must not.
package pushtest
