package redisbroker

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
)

const (
	tailBatch = 256
	// tailBlock is how long a read waits for news. After it the position is
	// verified: so a feed that is dead, detached or gone is noticed.
	tailBlock = time.Second
)

// tail is a Tail at its position.
type tail struct {
	b       *Broker
	pos     push.ID
	check   uint32 // of pos, if it is known: what the next entry must name
	deliver func([]push.Event) error
	reader  reader
}

// Tail implements push.Broker. What a script finds out on the master decides;
// blocking reads of the feed only bring news fast, and count while each entry
// is the next one and names the check of the one before it.
func (b *Broker) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.life, cancel)()
	t := &tail{b: b, pos: after, deliver: deliver, reader: newReader(ctx, b.rdb)}
	defer close(t.reader.ask)
	err := t.run(ctx)
	if b.life.Err() != nil && errors.Is(err, context.Canceled) {
		return push.ErrClosed
	}
	return err
}

func (t *tail) run(ctx context.Context) error {
	if t.pos.IsZero() {
		if err := t.oldest(ctx); err != nil {
			return err
		}
	}
	for {
		for n := tailBatch; n == tailBatch; { // far behind: the master has more
			var err error
			if n, err = t.verify(ctx); err != nil {
				return err
			}
		}
		for sound := true; sound; {
			var err error
			if sound, err = t.follow(ctx); err != nil {
				return err
			}
		}
	}
}

// oldest delivers what is retained.
func (t *tail) oldest(ctx context.Context) error {
	for {
		p, err := t.b.page(ctx, push.Query{After: t.pos, Limit: tailBatch}, everything)
		switch {
		case err != nil:
			return err
		case p.Gap == nil || t.pos.IsZero():
		case p.Gap.Reason == push.ReasonEpoch:
			return push.ErrEpoch
		default:
			return &push.TailGap{From: t.pos, To: p.Gap.To}
		}
		if err := t.take(ctx, p.Events, p.Upto); err != nil || len(p.Events) == 0 {
			return err
		}
	}
}

// verify asks the master what is after the position.
func (t *tail) verify(ctx context.Context) (n int, err error) {
	reply, err := t.b.eval(ctx, "reading the feed", tailScript, t.b.keys.log(), t.pos.Epoch, t.pos.Seq, max(t.pos.Check, t.check), tailBatch)
	if err != nil {
		return 0, err
	}
	s := t.b.learn(reply[0].([]any))
	verdict, edge := reply[1].(string), reply[2].(string)
	switch verdict {
	case "epoch":
		return 0, push.ErrEpoch
	case "gap":
		seq, check, err := position(edge)
		if err != nil {
			return 0, err
		}
		return 0, &push.TailGap{From: t.pos, To: s.id(seq, check)}
	}
	t.check = uint32(number(edge))
	events, _, err := t.parse(messages(reply[3].([]any)), true)
	if err != nil {
		return 0, err
	}
	return len(events), t.give(ctx, events)
}

// follow waits for news. It returns false if the position is to be verified.
func (t *tail) follow(ctx context.Context) (sound bool, err error) {
	news, err := t.read(ctx)
	if err != nil || len(news) == 0 {
		return false, err
	}
	events, sound, err := t.parse(news, false)
	if err != nil {
		return false, err
	}
	if len(events) > 0 {
		t.b.seen.reach(events[len(events)-1].ID)
	}
	return sound, t.give(ctx, events)
}

// read waits for entries after the position.
func (t *tail) read(ctx context.Context) ([]redis.XMessage, error) {
	t.reader.ask <- &redis.XReadArgs{
		Streams: []string{t.b.keys.feed(), strconv.FormatUint(t.pos.Seq, 10) + "-18446744073709551615"},
		Count:   tailBatch, Block: min(tailBlock, t.b.cfg.Timeout/2),
	}
	stall := time.NewTimer(t.b.cfg.Timeout)
	defer stall.Stop()
	var a answer
	select {
	case a = <-t.reader.answers:
	case <-stall.C:
		a.err = context.DeadlineExceeded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case errors.Is(a.err, redis.Nil):
		return nil, ctx.Err()
	case a.err != nil:
		return nil, t.b.failed(ctx, "reading the feed", a.err)
	}
	return a.streams[0].Messages, nil
}

// reader does XREAD for a Tail in a goroutine of its own, since the client's does
// not end with a context. It stays, with its stack, as long as Tail.
type reader struct {
	ask     chan *redis.XReadArgs
	answers chan answer // of capacity 1: it waits for nobody
}

type answer struct {
	streams []redis.XStream
	err     error
}

func newReader(ctx context.Context, rdb redis.UniversalClient) reader {
	r := reader{make(chan *redis.XReadArgs), make(chan answer, 1)}
	go func() {
		for args := range r.ask {
			streams, err := rdb.XRead(ctx, args).Result()
			r.answers <- answer{streams, err}
		}
	}()
	return r
}

// parse returns the events of the entries that follow each other from the
// position on, and whether all do. The master itself vouches for the first.
func (t *tail) parse(entries []redis.XMessage, vouched bool) (events []push.Event, sound bool, err error) {
	at, check := t.pos.Seq, t.check
	for i, m := range entries {
		seq, own, err := position(m.ID)
		if err != nil {
			return nil, false, err
		}
		prev, _ := m.Values["p"].(string)
		if seq != at+1 || !(vouched && i == 0) && uint32(number(prev)) != check {
			return events, false, nil
		}
		e := push.Event{ID: push.ID{Epoch: t.pos.Epoch, Seq: seq, Check: own}}
		e.Topic, _ = m.Values["n"].(string)
		content, _ := m.Values["d"].(string)
		if err := parseContent(&e, content); err != nil {
			return nil, false, err
		}
		events, at, check = append(events, e), seq, own
	}
	return events, true, nil
}

// give delivers events and moves the position.
func (t *tail) give(ctx context.Context, events []push.Event) error {
	if len(events) == 0 {
		return nil
	}
	return t.take(ctx, events, events[len(events)-1].ID)
}

func (t *tail) take(ctx context.Context, events []push.Event, upto push.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(events) > 0 {
		if err := t.deliver(events); err != nil {
			return err
		}
	}
	t.pos, t.check = upto, upto.Check
	return nil
}

// messages reads entries of a script's reply, which go-redis leaves as they are.
func messages(list []any) []redis.XMessage {
	ms := make([]redis.XMessage, len(list))
	for i, x := range list {
		entry := x.([]any)
		fields := entry[1].([]any)
		ms[i].ID = entry[0].(string)
		ms[i].Values = make(map[string]any, len(fields)/2)
		for j := 0; j+1 < len(fields); j += 2 {
			ms[i].Values[fields[j].(string)] = fields[j+1]
		}
	}
	return ms
}
