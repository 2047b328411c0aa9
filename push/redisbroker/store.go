package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
)

// store keeps each entry in a key with a time to live, and the names of all in
// a sorted set, so that a prefix is found without a look at all keys.
type store struct{ b *Broker }

const (
	// KEYS: the entry, the names. ARGV: name, value, ttl (ms), NX or ''.
	setScript = master + `
local ok
if ARGV[4] == 'NX' then
  ok = redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3], 'NX')
else
  ok = redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
if not ok then return 0 end
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1`

	getScript = always + `return redis.call('GET', KEYS[1])`

	// KEYS: the entry, the names. ARGV: name.
	takeScript = always + `
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('GETDEL', KEYS[1])`
)

var (
	// ARGV: from, to, how many.
	keysScript = redis.NewScript(always + `return redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])`)

	// KEYS: the names, an entry for each. ARGV: its name. The names of entries
	// that have expired go.
	//
	//nolint:dupword // Lua ends blocks so
	listScript = redis.NewScript(always + `
local out = {}
for i = 2, #KEYS do
  local v = redis.call('GET', KEYS[i])
  if v then
    out[#out + 1] = ARGV[i - 1]
    out[#out + 1] = v
  else
    redis.call('ZREM', KEYS[1], ARGV[i - 1])
  end
end
return out`)
)

const listChunk = 256

// once is a command that the client does not send twice: of who got no answer
// nobody knows whether it was the one who added, or took.
type once struct{ *redis.Cmd }

// NoRetry is for the client.
func (once) NoRetry() bool { return true }

func (s *store) failed(err error) error {
	if redis.HasErrorPrefix(err, "OOM") {
		return fmt.Errorf("%w: %w", push.ErrStoreFull, err)
	}
	return err
}

// run runs a script on one entry, once.
func (s *store) run(ctx context.Context, check error, script, key string, args ...any) (any, error) {
	if check == nil {
		check = s.b.usable(ctx)
	}
	if check != nil {
		return nil, check
	}
	v, err := exchange(ctx, s.b, "the store", func(ctx context.Context) (any, error) {
		line := append([]any{"eval", script, 2, s.b.keys.entry(key), s.b.keys.entries()}, args...)
		cmd := once{redis.NewCmd(ctx, line...)}
		cmd.SetFirstKeyPos(3)
		_ = s.b.rdb.Process(ctx, cmd)
		return cmd.Result()
	})
	return v, s.failed(err)
}

func (s *store) put(ctx context.Context, key string, value []byte, ttl time.Duration, how string) (bool, error) {
	ms := milliseconds(ttl)
	ok, err := s.run(ctx, push.CheckStoreEntry(key, value, ttl), setScript, key, key, value, ms, how)
	return number(ok) == 1, err
}

// Add implements push.Store.
func (s *store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	return s.put(ctx, key, value, ttl, "NX")
}

// Set implements push.Store.
func (s *store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := s.put(ctx, key, value, ttl, "")
	return err
}

// Get implements push.Store.
func (s *store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	v, err := s.run(ctx, push.CheckStoreKey(key), getScript, key)
	return found(v, err)
}

// Take implements push.Store.
func (s *store) Take(ctx context.Context, key string) ([]byte, bool, error) {
	v, err := s.run(ctx, push.CheckStoreKey(key), takeScript, key, key)
	return found(v, err)
}

func found(v any, err error) ([]byte, bool, error) {
	text, ok := v.(string)
	switch {
	case errors.Is(err, redis.Nil):
		return nil, false, nil
	case err != nil || !ok:
		return nil, false, err
	}
	return []byte(text), true, nil
}

// Delete implements push.Store.
func (s *store) Delete(ctx context.Context, key string) error {
	_, _, err := s.Take(ctx, key)
	return err
}

// List implements push.Store.
func (s *store) List(ctx context.Context, prefix string) (map[string][]byte, error) {
	if err := push.CheckStorePrefix(prefix); err != nil {
		return nil, err
	}
	if err := s.b.usable(ctx); err != nil {
		return nil, err
	}
	list := map[string][]byte{}
	return list, s.each(ctx, prefix, func(key, value string) { list[key] = []byte(value) })
}

// each calls f for all entries with a prefix, and forgets the names of those
// that have expired.
func (s *store) each(ctx context.Context, prefix string, f func(key, value string)) error {
	for from := "[" + prefix; ; {
		names, err := exchange(ctx, s.b, "the store", func(ctx context.Context) ([]string, error) {
			return keysScript.Run(ctx, s.b.rdb, []string{s.b.keys.entries()}, from, "("+prefix+"\xff", listChunk).StringSlice()
		})
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return nil
		}
		from = "(" + names[len(names)-1]
		if err := s.values(ctx, names, f); err != nil {
			return err
		}
	}
}

func (s *store) values(ctx context.Context, names []string, f func(key, value string)) error {
	keys, args := make([]string, 1, len(names)+1), make([]any, len(names))
	keys[0] = s.b.keys.entries()
	for i, name := range names {
		keys, args[i] = append(keys, s.b.keys.entry(name)), name
	}
	reply, err := exchange(ctx, s.b, "the store", func(ctx context.Context) ([]string, error) {
		return listScript.Run(ctx, s.b.rdb, keys, args...).StringSlice()
	})
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(reply); i += 2 {
		f(reply[i], reply[i+1])
	}
	return nil
}

func (s *store) sweep(ctx context.Context) error { return s.each(ctx, "", func(_, _ string) {}) }
