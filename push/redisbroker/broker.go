package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
)

// Broker is the log in Redis. All methods are safe for concurrent use; any
// number of Brokers, in any number of processes, may share a log.
type Broker struct {
	cfg    Config
	rdb    redis.UniversalClient
	keys   keys
	seen   seen
	writer writer
	store  *store

	life  context.Context //nolint:containedctx // it ends with Close
	close context.CancelFunc
	tasks sync.WaitGroup // what Close waits for

	mu     sync.Mutex
	looked time.Time // when the server was found to be right
}

var _ push.Broker = (*Broker)(nil)

// New returns a broker with the defaults of Config over the app's own client. It
// does no I/O: a server that is down is waited for by the hub.
func New(rdb redis.UniversalClient) *Broker { return NewWithConfig(rdb, Config{}) }

// NewWithConfig returns a broker. It panics if Config asks for what Redis cannot
// keep.
func NewWithConfig(rdb redis.UniversalClient, cfg Config) *Broker {
	if rdb == nil {
		panic("redisbroker: New needs a client: use redis.NewClient(…)")
	}
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		panic(err.Error())
	}
	b := &Broker{cfg: cfg, rdb: rdb, keys: keys{"{" + cfg.Name + "}:"}}
	b.life, b.close = context.WithCancel(context.Background())
	b.store = &store{b}
	b.writer.init(b)
	b.tasks.Go(b.writer.work)
	b.tasks.Go(b.sweep)
	return b
}

// usable returns ErrClosed after Close, and the error of a context that ended.
func (b *Broker) usable(ctx context.Context) error {
	if b.life.Err() != nil {
		return push.ErrClosed
	}
	return ctx.Err()
}

// failed makes an error of the client one of ours. What the server itself has
// said stays as it is: it names what is wrong.
func (b *Broker) failed(ctx context.Context, doing string, err error) error {
	b.mu.Lock()
	b.looked = time.Time{} // it may be another server when it is back
	b.mu.Unlock()
	var said redis.Error
	switch e := b.usable(ctx); {
	case e != nil:
		return e
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("redisbroker: %s: the server is full: raise maxmemory or keep less: %w", doing, err)
	case errors.As(err, &said):
		return fmt.Errorf("redisbroker: %s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w within %v: %s: %w", ErrDisconnected, b.cfg.Timeout, doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrDisconnected, doing, err)
}

// Head implements push.Broker.
func (b *Broker) Head(ctx context.Context) (push.ID, error) {
	if err := b.usable(ctx); err != nil {
		return push.ID{}, err
	}
	if err := b.look(ctx); err != nil {
		return push.ID{}, err
	}
	s, err := b.state(ctx)
	return s.head(), err
}

func (b *Broker) state(ctx context.Context) (state, error) {
	reply, err := b.eval(ctx, "reading the head", headScript, b.keys.log())
	if err != nil {
		return state{}, err
	}
	return b.learn(reply), b.usable(ctx)
}

// lookPause is how long a server that was right is taken to be so.
const lookPause = 10 * time.Second

// aboutScript asks the server that has the log. Its key is only for Cluster.
var aboutScript = redis.NewScript(always + `return {redis.call('INFO', 'server'), redis.call('INFO', 'memory')}`)

// look returns ErrConfig if the server cannot keep a log, or would drop parts of
// it when it is full.
func (b *Broker) look(ctx context.Context) error {
	b.mu.Lock()
	fresh := time.Since(b.looked) < lookPause
	b.mu.Unlock()
	if fresh {
		return nil
	}
	about, err := exchange(ctx, b, "looking at the server", func(ctx context.Context) ([]string, error) {
		return aboutScript.Run(ctx, b.rdb, []string{b.keys.topics()}).StringSlice()
	})
	if err != nil {
		return err
	}
	if err := right(strings.Join(about, "")); err != nil {
		return err
	}
	b.mu.Lock()
	b.looked = time.Now()
	b.mu.Unlock()
	return nil
}

// right judges what INFO says.
func right(info string) error {
	about := map[string]string{}
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			about[k] = v
		}
	}
	version, policy := about["redis_version"], about["maxmemory_policy"]
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return fmt.Errorf("%w: it is Redis %q: 7.0 or newer is needed", ErrConfig, version)
	}
	if about["maxmemory"] != "0" && policy != "noeviction" {
		return fmt.Errorf("%w: maxmemory-policy is %s: it would drop parts of the log when the server is full; set it to noeviction", ErrConfig, policy)
	}
	return nil
}

// Store implements push.Broker. Its entries are keys with a time to live.
func (b *Broker) Store() push.Store { return b.store }

// Purge removes all events of a topic. Readers that had not seen them all are
// told of the gap; a node that is behind may still deliver some.
func (b *Broker) Purge(ctx context.Context, topic string) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	_, err := b.eval(ctx, "purging a topic", purgeScript, b.keys.log(b.keys.topic(topic)))
	return err
}

// Close implements push.Broker. It waits for what is being published. The client
// is the app's: it stays open; a read of it that waits for news ends within a
// second.
func (b *Broker) Close(ctx context.Context) error {
	b.close()
	done := make(chan struct{})
	go func() { b.tasks.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
