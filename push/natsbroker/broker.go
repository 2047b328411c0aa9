package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

// Broker is the log in a JetStream stream. All methods are safe for concurrent
// use; any number of Brokers, in any number of processes, may share a stream.
type Broker struct {
	cfg   Config
	nc    *nats.Conn
	js    jetstream.JetStream
	api   string // prefix of the JetStream API's subjects
	store *store

	life context.Context //nolint:containedctx // ends with Close, and everything under way with it
	end  context.CancelFunc

	mu    sync.Mutex
	pub   jetstream.JetStream // what publishes events
	link  context.Context     //nolint:containedctx // ends with the connection, and every request with it
	seen  push.ID             // the newest position that this broker knows to have been in the log
	past  []uint64            // epochs that were replaced
	gen   uint64              // reconnects of the connection when the log was last looked at
	stale bool                // look again before the next publish
}

var _ push.Broker = (*Broker)(nil)

// New returns a broker with the defaults of Config over the app's own JetStream
// context. It does no I/O: the streams are created when they are first needed,
// and a server that is down is waited for by the hub.
func New(js jetstream.JetStream) *Broker { return NewWithConfig(js, Config{}) }

// NewWithConfig returns a broker. It panics if Config has a name that no stream
// can have.
func NewWithConfig(js jetstream.JetStream, cfg Config) *Broker {
	if js == nil {
		panic("natsbroker: New needs a JetStream context: use jetstream.New(nc)")
	}
	cfg = cfg.withDefaults()
	cfg.check()
	b := &Broker{
		cfg: cfg, nc: js.Conn(), api: apiPrefix(js.Options()), stale: true,
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.watch()
	b.js, b.pub = b.publisher(), b.publisher()
	b.store = &store{b: b}
	return b
}

// publisher returns a JetStream context of our own: what is in flight there has
// limits that are ours.
func (b *Broker) publisher() jetstream.JetStream {
	js, err := jetstream.NewWithAPIPrefix(b.nc, b.api,
		jetstream.WithPublishAsyncMaxPending(maxInFlight), jetstream.WithDefaultTimeout(b.cfg.Timeout))
	if err != nil {
		panic("natsbroker: " + err.Error()) // the prefix is that of a context that works
	}
	return js
}

// maxInFlight bounds the publishes that wait for the server's word.
const maxInFlight = 1 << 14

func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix == "":
		return jetstream.DefaultAPIPrefix
	case o.APIPrefix[len(o.APIPrefix)-1] != '.':
		return o.APIPrefix + "."
	}
	return o.APIPrefix
}

// Store implements push.Broker: a stream with one message a key.
func (b *Broker) Store() push.Store { return b.store }

// Close implements push.Broker. The connection is the app's: it stays open.
func (b *Broker) Close(context.Context) error {
	b.end()
	b.js.CleanupPublisher()
	b.publishing().CleanupPublisher()
	return nil
}

func (b *Broker) closed() bool { return b.life.Err() != nil }

// explain makes an error of the client one of ours. outer is the caller's
// context, inner that of begin.
func (b *Broker) explain(outer, inner context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case b.closed():
		return push.ErrClosed
	case outer.Err() != nil:
		return outer.Err()
	case inner.Err() != nil:
		err = context.Cause(inner)
	case errors.Is(err, nats.ErrNoResponders):
		err = fmt.Errorf("no JetStream answers for stream %q: is it enabled, has the stream a leader: %w", b.cfg.Stream, err)
	case errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionClosed):
		err = fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	b.doubt()
	if errors.Is(err, push.ErrTooLarge) || errors.Is(err, ErrConfig) || errors.Is(err, ErrDisconnected) {
		return err
	}
	return fmt.Errorf("natsbroker: %w", err)
}

// doubt has the log looked at before the next publish.
func (b *Broker) doubt() {
	b.mu.Lock()
	b.stale = true
	b.mu.Unlock()
}

// note remembers a position that is in the log.
func (b *Broker) note(id push.ID) {
	b.mu.Lock()
	if id.Epoch == b.seen.Epoch && id.Seq > b.seen.Seq {
		b.seen = id
	}
	b.mu.Unlock()
}

func (b *Broker) newestSeen() push.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen
}
