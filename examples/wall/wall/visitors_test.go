package wall

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// said collects what visitors publishes.
type said []map[string]int

func (s *said) add(counts map[string]int) { *s = append(*s, maps.Clone(counts)) }

func counts(sse, ws, poll int) map[string]int {
	return map[string]int{"sse": sse, "ws": ws, "poll": poll}
}

// settled waits until nothing is due any more.
func settled() {
	time.Sleep(10 * settle)
	synctest.Wait()
}

func (s *said) want(t *testing.T, want ...map[string]int) {
	t.Helper()
	if !slices.EqualFunc(*s, want, maps.Equal) {
		t.Errorf("published %v, want %v", *s, want)
	}
}

func TestVisitorsWhoComeTogetherAreOneNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		v := newVisitors(s.add)
		for i := range 100 {
			v.join(strconv.Itoa(i), []string{"sse", "ws"}[i%2])
		}
		settled()
		s.want(t, counts(50, 50, 0))
	})
}

func TestAVisitorWhoLeavesIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		v := newVisitors(s.add)
		v.join("a", "sse")
		v.join("b", "ws")
		settled()
		v.leave("b")
		v.leave("b") // told twice: counted once
		v.leave("somebody who read another topic")
		settled()
		s.want(t, counts(1, 1, 0), counts(1, 0, 0))
	})
}

func TestAPollerDoesNotFlickerBetweenTwoPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		v := newVisitors(s.add)
		for i := range 100 {
			id := strconv.Itoa(i)
			v.join(id, "poll")
			time.Sleep(170 * time.Millisecond)
			v.leave(id)
			time.Sleep(30 * time.Millisecond) // on the way
		}
		settled()
		s.want(t, counts(0, 0, 1), counts(0, 0, 0))
	})
}

func TestAReloadIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		v := newVisitors(s.add)
		v.join("a", "sse")
		settled()
		v.leave("a")
		v.join("b", "sse")
		settled()
		s.want(t, counts(1, 0, 0))
	})
}
