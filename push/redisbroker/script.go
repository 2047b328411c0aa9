package redisbroker

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
)

var (
	//go:embed lua/state.lua
	stateLua string
	//go:embed lua/head.lua
	headLua string
	//go:embed lua/publish.lua
	publishLua string
	//go:embed lua/tail.lua
	tailLua string
	//go:embed lua/page.lua
	pageLua string
	//go:embed lua/purge.lua
	purgeLua string
	//go:embed lua/sweep.lua
	sweepLua string
)

// Scripts are refused by a server that is not the master, as the first line has
// it: one that was cut off must not say that there is nothing new. Those that
// work when the server is full say so.
const (
	master = "#!lua\n"
	always = "#!lua flags=allow-oom\n"
)

// Each script on the log begins with state: whatever touches it first looks
// whether it still is the one that this process knows.
var (
	headScript    = redis.NewScript(always + stateLua + headLua)
	publishScript = redis.NewScript(master + stateLua + publishLua)
	tailScript    = redis.NewScript(always + stateLua + tailLua)
	pageScript    = redis.NewScript(always + stateLua + pageLua)
	purgeScript   = redis.NewScript(always + stateLua + purgeLua)
	sweepScript   = redis.NewScript(always + stateLua + sweepLua)
)

// keys names the keys of a log, all in one hash slot.
type keys struct{ prefix string }

func (k keys) topics() string            { return k.prefix + "topics" }
func (k keys) feed() string              { return k.prefix + "feed" }
func (k keys) topic(t string) string     { return k.prefix + "t:" + t }
func (k keys) idem(t, key string) string { return k.prefix + "i:" + t + "\n" + key }
func (k keys) writer(name string) string { return k.prefix + "w:" + name }
func (k keys) sweeper() string           { return k.prefix + "sweeper" }
func (k keys) entries() string           { return k.prefix + "entries" }
func (k keys) entry(key string) string   { return k.prefix + "k:" + key }
func (k keys) log(more ...string) []string { // what every script begins with
	return append([]string{k.prefix + "state", k.feed(), k.topics()}, more...)
}

// eval runs a script with the arguments that all have, and some of its own.
func (b *Broker) eval(ctx context.Context, doing string, s *redis.Script, keys []string, args ...any) ([]any, error) {
	return exchange(ctx, b, doing, func(ctx context.Context) ([]any, error) {
		reply, err := s.Run(ctx, b.rdb, keys, append(b.seen.args(), args...)...).Result()
		list, _ := reply.([]any)
		return list, err
	})
}

// exchange does something with the server. It ends with ctx and after Timeout,
// whatever the client's own settings are. redis.Nil stays as it is.
func exchange[T any](ctx context.Context, b *Broker, doing string, do func(context.Context) (T, error)) (T, error) {
	inner, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := do(inner)
		done <- result{v, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-inner.Done():
		r.err = inner.Err()
	}
	if r.err != nil && !errors.Is(r.err, redis.Nil) {
		r.err = b.failed(ctx, doing, r.err)
	}
	return r.v, r.err
}

// state is the state of the log as a script returned it.
type state struct {
	epoch uint64
	since int64 // when the epoch began, µs
	seq   uint64
	check uint32
	floor uint64
}

func (s state) head() push.ID { return s.id(s.seq, s.check) }

// id returns a position in the state's epoch.
func (s state) id(seq uint64, check uint32) push.ID {
	if seq == 0 {
		check = 0
	}
	return push.ID{Epoch: s.epoch, Seq: seq, Check: check}
}

// seen is the newest that this process knows of the log.
type seen struct {
	mu sync.Mutex
	state
}

// args are the arguments with which every script begins.
func (n *seen) args() []any {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []any{n.epoch, n.since, n.seq, n.check, newEpoch(), newCheck()}
}

// learn notes a state. Replies may come in any order.
func (n *seen) learn(s state) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.since > n.since || s.epoch == n.epoch && s.seq > n.seq {
		n.state = s
	}
}

// reach notes that this process has seen a position.
func (n *seen) reach(id push.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.epoch == id.Epoch && id.Seq > n.seq {
		n.seq, n.check = id.Seq, id.Check
	}
}

// learn reads the state at the beginning of a reply.
func (b *Broker) learn(reply []any) state {
	s := state{
		epoch: number(reply[0]), since: int64(number(reply[1])), seq: number(reply[2]),
		check: uint32(number(reply[3])), floor: number(reply[4]),
	}
	b.seen.learn(s)
	return s
}

// number reads a number of a reply, which a script or another program made.
func number(v any) uint64 {
	switch v := v.(type) {
	case int64:
		return uint64(max(v, 0))
	case string:
		n, _ := strconv.ParseUint(v, 10, 64)
		return n
	}
	return 0
}

// position reads the ID of an entry, "seq-check".
func position(id string) (seq uint64, check uint32, err error) {
	a, c, _ := strings.Cut(id, "-")
	seq, err = strconv.ParseUint(a, 10, 64)
	if err == nil {
		var n uint64
		n, err = strconv.ParseUint(c, 10, 32)
		check = uint32(n)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("redisbroker: entry %q is not this package's: does something else write to its keys?", id)
	}
	return seq, check, nil
}

func newEpoch() uint64 { return max(rand.Uint64(), 1) }

func newCheck() uint32 { return max(rand.Uint32(), 1) }
