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
		topics, err := b.index(ctx, from, "+inf", sweepChunk, "")
		if err != nil {
			return err
		}
		if err := b.sweepTopics(ctx, topics); err != nil {
			return err
		}
		if len(topics) < sweepChunk {
			return b.store.sweep(ctx)
		}
		from = beyond(topics)
	}
}

// namesScript: ARGV: from, to, how many, and REV to have the highest first.
var namesScript = redis.NewScript(always + `
return redis.call(ARGV[4] == 'REV' and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])`)

// topic is one of the index.
type topic struct {
	name   string
	newest uint64 // the sequence of its newest event, at least
}

// index reads topics from one sequence of their newest event to another.
func (b *Broker) index(ctx context.Context, from, to string, most int, order string) ([]topic, error) {
	reply, err := exchange(ctx, b, "reading the topics", func(ctx context.Context) ([]string, error) {
		return namesScript.Run(ctx, b.rdb, []string{b.keys.topics()}, from, to, most, order).StringSlice()
	})
	list := make([]topic, 0, len(reply)/2)
	for i := 0; i+1 < len(reply); i += 2 {
		list = append(list, topic{reply[i], number(reply[i+1])})
	}
	return list, err
}

// beyond is the end of a range that leaves out what was read.
func beyond(list []topic) string {
	return "(" + strconv.FormatUint(list[len(list)-1].newest, 10)
}

func (b *Broker) sweepTopics(ctx context.Context, topics []topic) error {
	keys := b.keys.log()
	var args []any
	for _, t := range topics {
		if age := b.cfg.rule(t.name).age; age > 0 && t.name != "" {
			keys, args = append(keys, b.keys.topic(t.name)), append(args, t.name, age)
		}
	}
	if len(args) == 0 {
		return nil
	}
	_, err := b.eval(ctx, "sweeping", sweepScript, keys, args...)
	return err
}
