package pushtest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/push"
)

var randomChecks = []check{
	{name: "Random/history", run: randomHistory, says: sayPage + "\n" + sayGap + "\n" + sayTailGap},
}

// randomly checks a property of random histories. The flags -rapid.checks and
// -rapid.seed say how many and which.
func (t *env) randomly(prop func(*env, *rapid.T)) {
	rapid.Check(struct{ testing.TB }{t.host}, func(r *rapid.T) {
		prop(&env{tester: r, host: t.host, harness: t.harness, mode: t.mode}, r)
	})
}

// script is a random history of a broker, with its model.
type script struct {
	*subject
	history
	idems map[string]push.Event // by topic and key
	fleet map[push.ID]bool      // ephemeral events
}

func (t *env) script() *script {
	rules := []push.Rule{{Pattern: "a", Retention: push.Retention{Count: 3}}, {Pattern: "c/*", Retention: push.Retention{Count: 2}}, keep(5)}
	if t.harness.NoRules {
		rules = []push.Rule{keep(4)}
	}
	if !t.harness.NoEphemeral {
		rules = append([]push.Rule{ephemeral}, rules...)
	}
	return &script{subject: t.open(rules...), idems: map[string]push.Event{}, fleet: map[push.ID]bool{}}
}

var (
	randomTopic   = rapid.SampledFrom([]string{"a", "b", "c/x", "c/y", "typing/x"})
	randomPattern = rapid.SampledFrom([]string{"a", "b", "c/x", "c/*", "*", "**", "none", "typing/x"})
	randomTopics  = rapid.SliceOfN(randomPattern, 1, 3)
	randomLimit   = rapid.SampledFrom([]int{0, 1, 2, 3, 5, 100})
	randomKey     = rapid.SampledFrom([]string{"", "", "", "k", "l"})
)

func randomHistory(t *env) {
	t.randomly(func(t *env, r *rapid.T) {
		s := t.script()
		actions := map[string]func(*rapid.T){"publish": s.publishSome, "page": s.readPage, "pages": s.readPages, "tail": s.readTail}
		if s.engine.Purge != nil {
			actions["purge"] = s.purgeSome
		}
		r.Repeat(actions)
	})
}

// publishSome publishes a few events, some of them again.
func (s *script) publishSome(r *rapid.T) {
	s.publishTo(s.Broker, r)
}

// publishTo publishes to s's log through one of its brokers.
func (s *script) publishTo(b push.Broker, r *rapid.T) {
	events := make([]push.Event, rapid.IntRange(1, 5).Draw(r, "events"))
	for i := range events {
		events[i] = idem(randomTopic.Draw(r, "topic"), fmt.Sprint(len(s.events), ".", i), randomKey.Draw(r, "idem"))
	}
	ids, err := b.Publish(s.Context(), events...)
	if err != nil || len(ids) != len(events) {
		s.Fatalf("Publish of %d events: %d IDs, error %v", len(events), len(ids), err)
	}
	for i, e := range events {
		e.ID = ids[i]
		s.published(e)
	}
}

func (s *script) published(e push.Event) {
	key := e.Topic + " " + e.Idem
	if first, ok := s.idems[key]; ok && e.Idem != "" {
		if e.ID != first.ID {
			s.Fatalf("the same Idem again: ID %v, the first has %v", e.ID, first.ID)
		}
		return
	}
	s.idems[key] = e
	if push.Match(ephemeral.Pattern, e.Topic) && !s.harness.NoEphemeral {
		s.fleet[e.ID] = true
		return
	}
	s.events = append(s.events, e)
}

// purgeSome purges a topic. Below its newest event gaps are no longer exact.
func (s *script) purgeSome(r *rapid.T) {
	s.purge(randomTopic.Draw(r, "topic"))
	s.floor = s.head().Seq
}

// position draws one that a reader may have.
func (s *script) position(r *rapid.T) push.ID {
	head := s.head()
	known := append(ids(s.events), push.ID{}, push.ID{Epoch: head.Epoch}, head)
	return rapid.SampledFrom(known).Draw(r, "position")
}

func (s *script) query(r *rapid.T) push.Query {
	q := push.Query{Topics: randomTopics.Draw(r, "topics"), After: s.position(r), Limit: randomLimit.Draw(r, "limit")}
	q.Latest = rapid.IntRange(0, 3).Draw(r, "latest") == 0
	if rapid.IntRange(0, 3).Draw(r, "before") == 0 {
		q.Before = s.position(r)
	}
	return q
}

func (s *script) readPage(r *rapid.T) { s.judged(s.query(r)) }

// judged reads a page and holds it against the model.
func (s *script) judged(q push.Query) push.Page {
	p := s.page(q)
	s.history.judge(s, q, p, s.all("**"))
	cut := !q.Latest && len(p.Events) == limitOf(q) && p.Upto == p.Events[len(p.Events)-1].ID
	switch head := s.head(); {
	case p.Upto.Epoch != head.Epoch || p.Upto.Seq < q.After.Seq:
		s.Fatalf("History(%+v): Upto is %+v", q, p.Upto)
	case !q.Before.IsZero() && p.Upto.Seq >= q.Before.Seq && p.Upto.Seq > q.After.Seq:
		s.Fatalf("History(%+v): Upto is %+v, not before Before", q, p.Upto)
	case q.Before.IsZero() && !cut && p.Upto != head:
		s.Fatalf("History(%+v) was not cut, but Upto is %+v; the head is %+v", q, p.Upto, head)
	}
	return p
}

// readPages reads page by page from a position to the head.
func (s *script) readPages(r *rapid.T) {
	q := push.Query{Topics: randomTopics.Draw(r, "topics"), After: s.position(r), Limit: max(randomLimit.Draw(r, "limit"), 1)}
	head := s.head()
	for p := s.judged(q); p.Upto != head; p = s.judged(q) {
		if p.Upto == q.After {
			s.Fatalf("History(%+v): the next page is the same again", q)
		}
		q.After = p.Upto
	}
}

// readTail tails the log from a position to its head.
func (s *script) readTail(r *rapid.T) {
	after := s.position(r)
	last := s.publish(ev("b", "tail"))[0]
	s.published(last)
	p := s.follow(after, last.ID)
	p.events = s.lasting(p.events)
	if after.IsZero() { // what was removed before it began is not owed, what is left is
		p.owed = last.ID.Seq
		s.survivors(s, "Tail", p, s.all("**"))
	}
	s.ordered(s, "Tail", p)
	s.noSilentHole(s, "Tail", p)
	s.exactGaps(s, "Tail", p, s.all("**"))
}

// lasting returns events without the ephemeral ones.
func (s *script) lasting(events []push.Event) []push.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e push.Event) bool { return s.fleet[e.ID] })
}
