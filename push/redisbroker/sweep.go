package redisbroker

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	sweepPause = 10 * time.Second
	sweepChunk = 256
)

// sweep frees, until Close, what is too old: readers never see it in any case.
// Of all processes one does it at a time.
func (b *Broker) sweep() {
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if b.mine() {
				_ = b.Sweep(b.life) // it is tried again
			}
		case <-b.life.Done():
			return
		}
	}
}

// mine reports whether it is this process's turn.
func (b *Broker) mine() bool {
	ok, err := exchange(b.life, b, "sweeping", func(ctx context.Context) (bool, error) {
		return b.rdb.SetNX(ctx, b.keys.sweeper(), b.writer.name, sweepPause/2).Result()
	})
	return err == nil && ok
}

// Sweep frees what is too old: events, topics that have nothing newer, entries
// of the store. A broker does it by itself every few seconds.
func (b *Broker) Sweep(ctx context.Context) error {
	for from := "-inf"; ; {
		if err := b.usable(ctx); err != nil {
			return err
		}
		names, err := b.names(ctx, redis.ZRangeArgs{Start: from, Stop: "+inf", Count: sweepChunk})
		if err != nil {
			return err
		}
		if err := b.sweepTopics(ctx, names); err != nil {
			return err
		}
		if len(names) < sweepChunk {
			return b.store.sweep(ctx)
		}
		from = "(" + score(names[len(names)-1])
	}
}

// names reads topics, with their newest sequences, from the index.
func (b *Broker) names(ctx context.Context, args redis.ZRangeArgs) ([]redis.Z, error) {
	args.Key, args.ByScore = b.keys.topics(), true
	return exchange(ctx, b, "reading the topics", func(ctx context.Context) ([]redis.Z, error) {
		return b.rdb.ZRangeArgsWithScores(ctx, args).Result()
	})
}

func score(z redis.Z) string { return strconv.FormatFloat(z.Score, 'f', -1, 64) }

func (b *Broker) sweepTopics(ctx context.Context, names []redis.Z) error {
	keys := b.keys.log()
	var args []any
	for _, z := range names {
		name, _ := z.Member.(string)
		if age := b.cfg.rule(name).age; age > 0 && name != "" {
			keys, args = append(keys, b.keys.topic(name)), append(args, name, age.Milliseconds())
		}
	}
	if len(args) == 0 {
		return nil
	}
	_, err := b.eval(ctx, "sweeping", sweepScript, keys, args...)
	return err
}
