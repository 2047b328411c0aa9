package fleet

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// view is a node's broker over a log, which a test may break.
type view struct {
	push.Broker
	publish func(context.Context, []push.Event) ([]push.ID, error)
	deliver func([]push.Event) []push.Event
	page    func(push.Query, *push.Page)
	head    func(*push.ID)
}

func (v *view) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	if v.publish != nil {
		return v.publish(ctx, events)
	}
	return v.Broker.Publish(ctx, events...)
}

func (v *view) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	return v.Broker.Tail(ctx, after, func(events []push.Event) error {
		if v.deliver != nil {
			events = v.deliver(slices.Clone(events))
		}
		if len(events) == 0 {
			return nil
		}
		return deliver(events)
	})
}

func (v *view) History(ctx context.Context, q push.Query) (push.Page, error) {
	p, err := v.Broker.History(ctx, q)
	if v.page != nil {
		v.page(q, &p)
	}
	return p, err
}

func (v *view) Head(ctx context.Context) (push.ID, error) {
	id, err := v.Broker.Head(ctx)
	if v.head != nil {
		v.head(&id)
	}
	return id, err
}

// Close implements push.Broker: the log is all nodes'.
func (v *view) Close(context.Context) error { return nil }

// local returns a Start whose nodes are goroutines over one log, each with its
// own view of it.
func local(log *push.Memory, spoil func(*view)) func() (Node, error) {
	return func() (Node, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return Node{}, err
		}
		v := &view{Broker: log}
		if spoil != nil {
			spoil(v)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() { err = Serve(ctx, l, v) })
		return Node{URL: "http://" + l.Addr().String(), Kill: func() {
			cancel()
			if done.Wait(); err != nil {
				panic(err)
			}
		}}, nil
	}
}

func TestGoodLogPasses(t *testing.T) {
	out := Fleet{Start: local(push.NewMemory(), nil), Events: 2000, NodeKills: 4}.Run(t)
	t.Logf("%+v", out)
	if want := 2000*10 + 2000/manyTopics*10; out.All() < want || out.Gaps > 0 || out.Reconnects == 0 {
		t.Errorf("%+v; deliveries must be %d at least", out, want)
	}
	for _, tr := range transports {
		if out.Deliveries[tr.name] == 0 {
			t.Errorf("%s delivered nothing: %v", tr.name, out.Deliveries)
		}
	}
}

// TestTrimmedLogIsTold: gaps are in order where topics are short.
func TestTrimmedLogIsTold(t *testing.T) {
	log := push.NewMemory(push.Rules(push.Rule{Pattern: "room/**", Retention: push.Retention{Count: 2}}))
	Fleet{Start: local(log, nil), Events: 500, NodeKills: 4, Trims: true}.Run(t)
}

// A log that breaks an invariant must be rejected.
func TestBrokenLogsAreRejected(t *testing.T) {
	for name, spoil := range map[string]func(*view){
		"a feed that loses events": func(v *view) {
			v.deliver = func(e []push.Event) []push.Event {
				return slices.DeleteFunc(e, func(push.Event) bool { return rand.IntN(10) == 0 })
			}
		},
		"events with other IDs": func(v *view) {
			v.deliver = func(e []push.Event) []push.Event {
				e[0].ID.Check++
				return e
			}
		},
		"acknowledgements of what is not in the log": func(v *view) {
			v.publish = func(ctx context.Context, e []push.Event) ([]push.ID, error) {
				ids, err := v.Broker.Publish(ctx, e[0])
				for err == nil && len(ids) < len(e) {
					ids = append(ids, push.ID{Epoch: ids[0].Epoch, Seq: ids[0].Seq + uint64(len(ids))})
				}
				return ids, err
			}
		},
		"no idempotency": func(v *view) {
			var tries atomic.Int64
			v.publish = func(ctx context.Context, e []push.Event) ([]push.ID, error) {
				for i := range e {
					e[i].Idem = ""
				}
				ids, err := v.Broker.Publish(ctx, e...)
				if tries.Add(1)%3 == 0 {
					return nil, push.ErrNotReady
				}
				return ids, err
			}
		},
		"gaps where nothing is gone": func(v *view) {
			v.page = func(q push.Query, p *push.Page) {
				if len(p.Events) > 0 {
					p.Gap = &push.Gap{From: q.After, To: p.Events[0].ID, Reason: push.ReasonTrimmed}
				}
			}
		},
		"an epoch that is not the log's": func(v *view) {
			v.deliver = func(e []push.Event) []push.Event {
				for i := range e {
					e[i].ID.Epoch++
				}
				return e
			}
			v.head = func(id *push.ID) { id.Epoch++ }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A page is read by who comes back to a node that has not seen what he missed:
			// about once in a kill. With six kills one run in 60 had none to spoil.
			f := Fleet{Start: local(push.NewMemory(), spoil), Clients: 6, Events: 1500, NodeKills: 30, Patience: 3 * time.Second}
			_, errs := f.run(t.Context())
			if len(errs) == 0 {
				t.Errorf("the fleet accepted it")
			}
			for _, err := range errs[:min(len(errs), 2)] {
				t.Log(err)
			}
		})
	}
}

func TestLoadCountsWhatArrives(t *testing.T) {
	n, err := local(push.NewMemory(), nil)()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Kill()
	l, err := NewLoad(t.Context(), n.URL, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for burst := range 20 {
		if err := l.Burst(1+burst, 128); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.got.Load(); got != 210*10 {
		t.Errorf("10 clients got %d events, published were 210", got)
	}
}
