package wall

import (
	"context"
	"encoding/json"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// shared is a broker as one of many nodes has it.
type shared struct{ push.Broker }

func (shared) Close(context.Context) error { return nil }

// told returns the newest tally.
func told(t *testing.T, w *Wall) (last tally) {
	t.Helper()
	page, err := w.hub.History(t.Context(), push.Query{Topics: []string{visitorsTopic}, Limit: 1, Latest: true})
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("%d tallies, %v", len(page.Events), err)
	}
	if err := json.Unmarshal(page.Events[0].Data, &last); err != nil {
		t.Fatal(err)
	}
	return last
}

func TestCountsAreAddedUpOverNodesAndThoseOfDeadOnesRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := Memory()
		a, b := New(shared{log}, Options{Node: "a"}), New(shared{log}, Options{Node: "b"})
		var alive atomic.Bool
		alive.Store(true)
		dying := New(dead{shared{log}, &alive}, Options{Node: "c.example.com"})
		synctest.Wait()
		a.opened(middleware.Connection{ID: "1", Transport: "sse", Topics: []string{"wall", "visitors/ann"}})
		a.opened(middleware.Connection{ID: "2", Transport: "ws", Topics: []string{"wall"}})
		b.opened(middleware.Connection{ID: "3", Transport: "ws", Topics: []string{"**", "visitors/bob"}})
		b.opened(middleware.Connection{ID: "4", Transport: "ws", Topics: []string{"news"}})
		dying.opened(middleware.Connection{ID: "5", Transport: "poll", Topics: []string{"wall", "visitors/eve"}})
		time.Sleep(time.Minute)
		want := tally{SSE: 1, WS: 2, Poll: 1, Nodes: map[string][]string{"a": {"ann"}, "b": {"bob"}, "c.example.com": {"eve"}}}
		if got := told(t, b); !reflect.DeepEqual(got, want) {
			t.Errorf("told is %+v, want %+v", got, want)
		}
		alive.Store(false)
		time.Sleep(20 * time.Second)
		b.visitors.leave("3")
		time.Sleep(10 * time.Second)
		want = tally{SSE: 1, WS: 1, Nodes: map[string][]string{"a": {"ann"}, "b": {}}}
		if got := told(t, a); !reflect.DeepEqual(got, want) {
			t.Errorf("told is %+v, want %+v", got, want)
		}
		for _, w := range []*Wall{a, b, dying} {
			_ = w.hub.Shutdown(t.Context())
		}
	})
}

// dead is a broker of a node that can die.
type dead struct {
	shared
	alive *atomic.Bool
}

func (d dead) Head(ctx context.Context) (push.ID, error) {
	if !d.alive.Load() {
		return push.ID{}, context.DeadlineExceeded
	}
	return d.shared.Head(ctx)
}
