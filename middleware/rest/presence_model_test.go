package rest_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/push"
)

// presenceStep is one thing that happens to a cluster.
type presenceStep struct {
	Do    string // "enter", "leave", "cut", "mend"
	Node  int
	Who   string
	Pause time.Duration // before it
}

var presenceSteps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) presenceStep {
	return presenceStep{
		Do:    rapid.SampledFrom([]string{"enter", "enter", "leave", "leave", "cut", "mend"}).Draw(t, "do"),
		Node:  rapid.IntRange(0, 2).Draw(t, "node"),
		Who:   rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "who"),
		Pause: rapid.SampledFrom([]time.Duration{0, 0, time.Second, 9 * time.Second, 11 * time.Second, 40 * time.Second}).Draw(t, "pause"),
	}
}), 1, 25)

// Three nodes over one log, people who come and go on any of them, and nodes
// that cannot reach the store for a while: of everybody joins and leaves take
// turns, and in the end all nodes know who is there.
func TestJoinsAndLeavesTakeTurnsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := presenceSteps.Draw(rt, "steps")
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = playPresence(t, steps) })
		if len(wrong) > 0 {
			rt.Fatal(wrong)
		}
	})
}

func playPresence(t *testing.T, steps []presenceStep) (wrong []string) {
	log := push.NewMemory()
	var cut [3]atomic.Bool
	var nodes [3]*site
	for i := range nodes {
		nodes[i] = serveNode(t, log, unless(&cut[i]))
	}
	open := map[string][]*eventSource{}
	for _, s := range steps {
		time.Sleep(s.Pause)
		switch s.Do {
		case "enter":
			open[s.Who] = append(open[s.Who], nodes[s.Node].enter("/topics/room/1", "User: "+s.Who))
		case "leave":
			if list := open[s.Who]; len(list) > 0 {
				list[0].close()
				open[s.Who] = list[1:]
			}
		case "cut", "mend":
			cut[s.Node].Store(s.Do == "cut")
		}
	}
	for i := range cut {
		cut[i].Store(false)
	}
	time.Sleep(2 * time.Minute)
	there := map[string]bool{}
	for _, c := range comings(t, nodes[0].hub, "room/1") {
		if who, came := c[1:], c[0] == '+'; there[who] == came {
			wrong = append(wrong, "twice: "+c)
		} else {
			there[who] = came
		}
	}
	var want []string
	for who, list := range open {
		if there[who] != (len(list) > 0) {
			wrong = append(wrong, "told last of "+who+" is wrong")
		}
		if len(list) > 0 {
			want = append(want, who)
		}
	}
	slices.Sort(want)
	for _, n := range nodes {
		if got := n.present("room/1"); !slices.Equal(got, want) {
			wrong = append(wrong, "a node shows others than are there")
		}
	}
	return wrong
}
