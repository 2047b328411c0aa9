package pushtest

import (
	"context"
	"errors"
	"flag"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) {
	// Random histories of mutants fail on purpose: nobody wants them kept or
	// made small.
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// engine is a memory broker with everything that can be done to one of another
// process: its log can be lost, and several nodes use it.
type engine struct {
	rules []push.Rule
	store *push.MemoryStore

	mu   sync.Mutex
	log  *push.Memory
	life context.Context //nolint:containedctx // of the connections of all nodes
	cut  context.CancelCauseFunc
}

func newEngine(tb testing.TB, rules []push.Rule) *engine {
	tb.Helper()
	e := &engine{rules: rules, store: push.NewMemoryStore(0), log: push.NewMemory(push.Rules(rules...))}
	e.life, e.cut = context.WithCancelCause(context.Background())
	tb.Cleanup(e.close)
	return e
}

func (e *engine) close() {
	log, _ := e.now()
	_ = log.Close(context.Background())
	e.cut(nil)
}

func (e *engine) now() (*push.Memory, context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log, e.life
}

// swap replaces the log, and ends all Tails with why.
func (e *engine) swap(log *push.Memory, why error) {
	e.mu.Lock()
	old, cut := e.log, e.cut
	e.log = log
	e.life, e.cut = context.WithCancelCause(context.Background())
	e.mu.Unlock()
	cut(why)
	if old != log {
		_ = old.Close(context.Background())
	}
}

func (e *engine) lose(context.Context) error {
	e.swap(push.NewMemory(push.Rules(e.rules...)), push.ErrEpoch)
	return nil
}

func (e *engine) rewind(ctx context.Context, n int) error {
	log, _ := e.now()
	p, err := log.History(ctx, push.Query{Topics: []string{"**"}, Limit: 1 << 20})
	if err != nil {
		return err
	}
	next := push.NewMemory(push.Rules(e.rules...))
	if _, err := next.Publish(ctx, p.Events[:len(p.Events)-n]...); err != nil {
		return err
	}
	e.swap(next, push.ErrEpoch)
	return nil
}

func (e *engine) restart(context.Context) error {
	log, _ := e.now()
	e.swap(log, errors.New("the engine restarts"))
	return nil
}

func (e *engine) purge(ctx context.Context, topic string) error {
	log, _ := e.now()
	return log.Purge(ctx, topic)
}

func (e *engine) instance() Instance {
	return Instance{Broker: e.node(), Purge: e.purge, Lose: e.lose, Rewind: e.rewind, Restart: e.restart,
		Reopen: func(context.Context) (push.Broker, error) { return e.node(), nil }}
}

// node is a broker over an engine.
type node struct {
	e     *engine
	ctx   context.Context //nolint:containedctx // its end is that of the node
	close context.CancelFunc
}

func (e *engine) node() *node {
	n := &node{e: e}
	n.ctx, n.close = context.WithCancel(context.Background())
	return n
}

func (n *node) log() (*push.Memory, context.Context, error) {
	log, life := n.e.now()
	if n.ctx.Err() != nil {
		return nil, nil, push.ErrClosed
	}
	return log, life, nil
}

func (n *node) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	log, _, err := n.log()
	if err != nil {
		return nil, err
	}
	return log.Publish(ctx, events...)
}

func (n *node) History(ctx context.Context, q push.Query) (push.Page, error) {
	log, _, err := n.log()
	if err != nil {
		return push.Page{}, err
	}
	return log.History(ctx, q)
}

func (n *node) Head(ctx context.Context) (push.ID, error) {
	log, _, err := n.log()
	if err != nil {
		return push.ID{}, err
	}
	return log.Head(ctx)
}

func (n *node) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	log, life, err := n.log()
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	defer context.AfterFunc(n.ctx, cancel)()
	err = log.Tail(inner, after, deliver)
	if !errors.Is(err, context.Canceled) && !errors.Is(err, push.ErrClosed) {
		return err
	}
	switch {
	case n.ctx.Err() != nil:
		return push.ErrClosed
	case life.Err() != nil:
		return context.Cause(life)
	}
	return err
}

func (n *node) Store() push.Store { return n.e.store }

func (n *node) Close(context.Context) error {
	n.close()
	return nil
}

// good is a harness of a broker that passes.
var good = Harness{
	Synctest: true,
	New: func(tb testing.TB, rules ...push.Rule) (Instance, error) {
		tb.Helper()
		return newEngine(tb, rules).instance(), nil
	},
}

// A broker that can do everything passes: with it every check runs.
func TestGoodBrokerPasses(t *testing.T) { Run(t, good) }
