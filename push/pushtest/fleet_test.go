package pushtest

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// localNodes returns a Start whose nodes are goroutines over one log, each of
// them with its own broker, which spoil may break.
func localNodes(log *push.Memory, spoil func(*broken)) func() (Node, error) {
	return func() (Node, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return Node{}, err
		}
		b := newBroken(log)
		b.close = func(context.Context) error { return nil } // the log is all nodes'
		if spoil != nil {
			spoil(b)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() { ServeNode(ctx, l, push.NewHub(b, hubOptions...)) })
		return Node{Addr: l.Addr().String(), Kill: func() { cancel(); done.Wait() }}, nil
	}
}

func TestFleetOverAGoodLog(t *testing.T) {
	log := push.NewMemory()
	out := Fleet{Start: localNodes(log, nil), Events: 500, NodeKills: 4}.Run(t)
	if want := 500*10 + 500/fleetTopics*10; out.Deliveries < want || out.Gaps > 0 || out.Reconnects == 0 {
		t.Errorf("%+v; deliveries must be %d at least", out, want)
	}
}

// TestFleetToldOfWhatIsTrimmed: gaps are in order where topics are short.
func TestFleetToldOfWhatIsTrimmed(t *testing.T) {
	log := push.NewMemory(push.Rules(push.Rule{Pattern: "room/**", Retention: push.Retention{Count: 2}}))
	Fleet{Start: localNodes(log, nil), Events: 500, NodeKills: 4, Trims: true}.Run(t)
}

// A fleet must reject a log that breaks an invariant.
func TestFleetRejects(t *testing.T) {
	for name, spoil := range map[string]func(*broken){
		"a feed that loses events": func(b *broken) {
			b.delivers(func(e []push.Event) []push.Event {
				return slices.DeleteFunc(e, func(push.Event) bool { return rand.IntN(10) == 0 })
			})
		},
		"events with other IDs": func(b *broken) {
			b.delivers(func(e []push.Event) []push.Event {
				e[0].ID.Check++
				return e
			})
		},
		"acknowledgements of what is not in the log": func(b *broken) {
			next := b.publish
			b.publish = func(ctx context.Context, e []push.Event) ([]push.ID, error) {
				ids, err := next(ctx, e[:1])
				for err == nil && len(ids) < len(e) {
					ids = append(ids, push.ID{Epoch: ids[0].Epoch, Seq: ids[0].Seq + uint64(len(ids))})
				}
				return ids, err
			}
		},
		"no idempotency": func(b *broken) {
			var tries atomic.Int64
			next := b.publish
			b.publish = func(ctx context.Context, e []push.Event) ([]push.ID, error) {
				for i := range e {
					e[i].Idem = ""
				}
				ids, err := next(ctx, e)
				if tries.Add(1)%3 == 0 {
					return nil, push.ErrNotReady
				}
				return ids, err
			}
		},
		"gaps where nothing is gone": func(b *broken) {
			b.answers(func(q push.Query, p *push.Page) {
				if len(p.Events) > 0 {
					p.Gap = &push.Gap{From: q.After, To: p.Events[0].ID, Reason: push.ReasonTrimmed}
				}
			})
		},
		"an epoch that is not the log's": func(b *broken) {
			b.delivers(func(e []push.Event) []push.Event {
				for i := range e {
					e[i].ID.Epoch++
				}
				return e
			})
			next := b.head
			b.head = func(ctx context.Context) (push.ID, error) {
				id, err := next(ctx)
				id.Epoch++
				return id, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, func(tb testing.TB) {
				Fleet{Start: localNodes(push.NewMemory(), spoil), Clients: 6, Events: 300, NodeKills: 6, Patience: 3 * time.Second}.Run(tb)
			})
			if !r.Failed() {
				t.Errorf("the fleet accepted it")
			}
		})
	}
}
