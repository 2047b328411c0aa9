package pushtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// What the contract leaves open must be left open: brokers that use it pass.
func TestUnusualBrokersPass(t *testing.T) {
	t.Run("sequences with holes", func(t *testing.T) { Run(t, mutant{broker: leavesHoles}.harness()) })
	t.Run("batches that fail halfway", func(t *testing.T) {
		c, _ := find(t, "Publish/error")
		judged(t, c, mutant{broker: failsHalfway}.harness(), true)
	})
}

// stride is the distance of the sequences of leavesHoles.
const stride = 3

// leavesHoles uses every third sequence only.
func leavesHoles(b *broken) {
	out := func(id *push.ID) { id.Seq *= stride }
	in := func(id push.ID) push.ID {
		if id.Seq%stride != 0 {
			id.Check = 0
		}
		id.Seq /= stride
		return id
	}
	b.takes(in)
	b.asks(func(q *push.Query) {
		if !q.Before.IsZero() {
			q.Before.Seq = (q.Before.Seq + stride - 1) / stride
		}
	})
	b.shows(func(e *push.Event) { out(&e.ID) })
	b.answers(func(q push.Query, p *push.Page) {
		if out(&p.Upto); p.Gap != nil {
			out(&p.Gap.To)
			if p.Gap.From == in(q.After) {
				p.Gap.From = q.After
			} else {
				out(&p.Gap.From)
			}
		}
	})
	b.ends(func(err error) error {
		if gap := (*push.TailGap)(nil); errors.As(err, &gap) {
			out(&gap.From)
			out(&gap.To)
		}
		return err
	})
	next := b.publish
	b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
		ids, err := next(ctx, events)
		for i := range ids {
			out(&ids[i])
		}
		return ids, err
	}
	b.head = func(ctx context.Context) (push.ID, error) {
		id, err := b.Broker.Head(ctx)
		out(&id)
		return id, err
	}
}

// poor is a harness of a broker that can do little, and says so.
var poor = Harness{
	Synctest: true, NoEphemeral: true, NoRules: true, NoBytes: true, NoAge: true, Approximate: true,
	New: func(_ testing.TB, rules ...push.Rule) (Instance, error) {
		r := push.Retention{Bytes: -1, Age: -1}
		if len(rules) > 1 {
			return Instance{}, fmt.Errorf("%d rules: one holds for all topics", len(rules))
		}
		if len(rules) == 1 {
			if r := rules[0]; r.Pattern != "**" || r.Ephemeral || r.Bytes > 0 || r.Age > 0 {
				return Instance{}, fmt.Errorf("the engine cannot keep %+v", r)
			}
			r.Count = rules[0].Count
		}
		if r.Count > 0 {
			r.Count += 3
		}
		b := push.NewMemory(push.Rules(push.Rule{Pattern: "**", Retention: r}))
		return Instance{Broker: b}, nil
	},
}

// A broker that can do little passes with its opt-outs, and only with them.
func TestOptOuts(t *testing.T) {
	t.Run("poor", func(t *testing.T) { Run(t, poor) })
	full := poor
	full.NoEphemeral, full.NoRules, full.NoBytes, full.NoAge, full.Approximate = false, false, false, false, false
	for _, c := range optional() {
		t.Run("missing/"+c.name, func(t *testing.T) { judged(t, c, full, false) })
	}
}

// An opt-out is proved: who opts out of what works is told so.
func TestOptingOutOfWhatWorksFails(t *testing.T) {
	h := good
	h.NoEphemeral, h.NoRules, h.NoBytes, h.NoAge, h.Approximate = true, true, true, true, true
	for _, c := range optional() {
		t.Run(c.name, func(t *testing.T) { judged(t, c, h, false) })
	}
}

// optional are the checks that one can opt out of.
func optional() []check {
	return slices.DeleteFunc(checks(), func(c check) bool { return c.optOut == nil })
}

// judged fails unless the outcome of c is as wanted.
func judged(t *testing.T, c check, h Harness, want bool) {
	t.Helper()
	bubble(t, &h, func(tb testing.TB) {
		tb.Helper()
		r := record(tb, func(tb testing.TB) { tb.Helper(); c.prove(tb, &h, raw) })
		if passed := !r.Failed(); passed != want {
			tb.Errorf("%s passed: %v, want %v; %q", c.name, passed, want, r.lines())
		}
	})
}
