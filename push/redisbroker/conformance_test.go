package redisbroker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/pushtest"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

func TestConformance(t *testing.T) {
	s := startServer(t, kernel...)
	rdb := s.open(t)
	pushtest.Run(t, pushtest.Harness{
		New:     func(_ testing.TB, rules ...push.Rule) (pushtest.Instance, error) { return instance(s, rdb, rules) },
		NoBytes: true, Backlog: true, Parallel: true, Costly: !*long,
	})
}

func instance(s *server, rdb *redis.Client, rules []push.Rule) (pushtest.Instance, error) {
	name := unique()
	node := func() *redisbroker.Broker {
		return redisbroker.NewWithConfig(rdb, redisbroker.Config{Name: name, Rules: rules})
	}
	b, err := refusal(node)
	if err != nil {
		return pushtest.Instance{}, err
	}
	return pushtest.Instance{
		Broker:  b,
		Purge:   b.Purge,
		Lose:    func(ctx context.Context) error { return lose.Run(ctx, rdb, nil, "{"+name+"}:*").Err() },
		Rewind:  func(ctx context.Context, n int) error { return rewind.Run(ctx, rdb, nil, "{"+name+"}:", n).Err() },
		Restart: func(context.Context) error { s.restart(); return nil },
		Reopen:  func(context.Context) (push.Broker, error) { return node(), nil },
	}, nil
}

// lose is FLUSHALL for one log. ARGV: its keys.
var lose = redis.NewScript(`
for _, k in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', k) end
return 1`)

// refusal returns a panic as an error.
func refusal(node func() *redisbroker.Broker) (b *redisbroker.Broker, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return node(), nil
}

// rewind has the server as it was before the newest events. ARGV: the keys'
// prefix, how many.
//
//nolint:dupword // Lua ends blocks so
var rewind = redis.NewScript(`
local p = ARGV[1]
local x = redis.call('XREVRANGE', p .. 'feed', '+', '-', 'COUNT', ARGV[2] + 1)
local back = x[#x][1]
local seq, check = string.match(back, '^(%d+)-(%d+)$')
local function forget(key, ids)
  if #ids > 0 then redis.call('XDEL', key, unpack(ids)) end
  local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if last[1] then
    local n = redis.call('XLEN', key)
    redis.call('XSETID', key, last[1][1], 'ENTRIESADDED', n, 'MAXDELETEDID', '0-1')
  else
    redis.call('DEL', key)
  end
  return last[1]
end
local of, feed = {}, {}
for i = 1, #x - 1 do
  local t = x[i][2][4]
  of[t] = of[t] or {}
  table.insert(of[t], x[i][1])
  table.insert(feed, x[i][1])
end
forget(p .. 'feed', feed)
for t, ids in pairs(of) do
  local last = forget(p .. 't:' .. t, ids)
  if last then
    redis.call('ZADD', p .. 'topics', string.match(last[1], '^%d+'), t)
  else
    redis.call('ZREM', p .. 'topics', t)
  end
end
redis.call('HSET', p .. 'state', 'q', seq, 'c', check)
return 1`)
