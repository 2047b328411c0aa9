package pushtest

import (
	"slices"

	"github.com/dualpush-go/dualpush/push"
)

// each changes the Retention of all rules.
func each(change func(*push.Retention)) func([]push.Rule) []push.Rule {
	return func(rules []push.Rule) []push.Rule {
		for i := range rules {
			change(&rules[i].Retention)
		}
		return rules
	}
}

var retentionMutants = []mutant{
	{breaks: "Retention/oldest_first", how: "removes from the middle", broker: func(b *broken) {
		b.answers(func(_ push.Query, p *push.Page) {
			if len(p.Events) > 2 {
				p.Events = slices.Delete(p.Events, 1, 2)
			}
		})
	}},
	{breaks: "Retention/evidence", how: "forgets what it removed", broker: withoutGaps},
	{breaks: "Retention/count", how: "keeps more than Count", rules: each(func(r *push.Retention) { r.Count++ })},
	{breaks: "Retention/count", how: "keeps fewer than Count", rules: each(func(r *push.Retention) { r.Count-- })},
	{breaks: "Retention/unlimited", how: "takes no limit for the default", rules: each(func(r *push.Retention) { r.Count = max(r.Count, 0) })},
	{breaks: "Retention/rules", how: "lets the last rule hold", rules: func(rules []push.Rule) []push.Rule {
		slices.Reverse(rules)
		return rules
	}},
	{breaks: "Retention/bytes", how: "ignores Bytes", rules: each(func(r *push.Retention) { r.Bytes = -1 })},
	{breaks: "Retention/default_bytes", how: "has no default for Bytes", rules: byDefault(push.Retention{Bytes: -1})},
	{breaks: "Retention/default_age", how: "has no default for Age", rules: byDefault(push.Retention{Age: -1})},
	{breaks: "Retention/age", how: "ignores Age", rules: each(func(r *push.Retention) { r.Age = -1 })},
	{breaks: "Retention/age", how: "removes events before their age", rules: each(func(r *push.Retention) { r.Age /= 2 })},
	{breaks: "Retention/ephemeral", how: "has ephemeral events in History", rules: each(func(r *push.Retention) { r.Ephemeral = false })},
	{breaks: "Retention/ephemeral", how: "keeps ephemeral events from Tail", broker: func(b *broken) {
		b.delivers(func(events []push.Event) []push.Event {
			return slices.DeleteFunc(events, func(e push.Event) bool { return push.Match(ephemeral.Pattern, e.Topic) })
		})
	}},
	{breaks: "Retention/ephemeral_makes_no_gap", how: "makes gaps of ephemeral events",
		rules: each(func(r *push.Retention) { *r = push.Retention{Count: 4} }),
		broker: func(b *broken) {
			b.answers(func(_ push.Query, p *push.Page) {
				p.Events = slices.DeleteFunc(p.Events, func(e push.Event) bool { return push.Match(ephemeral.Pattern, e.Topic) })
			})
		}},
}

// byDefault sets a rule for all topics where New is given none.
func byDefault(r push.Retention) func([]push.Rule) []push.Rule {
	return func(rules []push.Rule) []push.Rule {
		if len(rules) > 0 {
			return rules
		}
		return []push.Rule{{Pattern: "**", Retention: r}}
	}
}

func withoutGaps(b *broken) {
	b.answers(func(_ push.Query, p *push.Page) { p.Gap = nil })
}
