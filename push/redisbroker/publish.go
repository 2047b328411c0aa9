package redisbroker

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Limits of what goes to the server at once.
const (
	batchEvents = 256
	batchBytes  = 1 << 20
)

// Publish implements push.Broker. What many goroutines publish at a time goes
// to the server together. A command that the client sends twice is carried out
// once.
func (b *Broker) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	if err := b.usable(ctx); err != nil || len(events) == 0 {
		return nil, err
	}
	entries, err := b.entries(events)
	if err != nil {
		return nil, err
	}
	ids := make([]push.ID, 0, len(entries))
	for len(entries) > 0 {
		n := together(entries)
		more, err := b.writer.write(ctx, entries[:n])
		if err != nil {
			return ids, err
		}
		ids, entries = append(ids, more...), entries[n:]
	}
	return ids, nil
}

// entry is an event on its way: nothing in it is the publisher's.
type entry struct {
	topic   string
	idem    string
	check   uint32
	most    int
	content []byte
}

func (b *Broker) entries(events []push.Event) ([]entry, error) {
	entries := make([]entry, len(events))
	now := time.Now()
	for i := range events {
		e := events[i]
		if e.Time.IsZero() {
			e.Time = now
		}
		content := appendContent(make([]byte, 0, len(e.Data)+64), &e)
		if len(content) > b.cfg.MaxEvent {
			return nil, fmt.Errorf("%w: event %d of topic %q takes %d bytes, the broker takes %d (MaxEvent)",
				push.ErrTooLarge, i, e.Topic, len(content), b.cfg.MaxEvent)
		}
		entries[i] = entry{e.Topic, e.Idem, newCheck(), b.cfg.rule(e.Topic).most(), content}
	}
	return entries, nil
}

// together is how many of the entries make a batch.
func together(entries []entry) (n int) {
	bytes := 0
	for n < len(entries) && n < batchEvents && (n == 0 || bytes+len(entries[n].content) <= batchBytes) {
		bytes += len(entries[n].content)
		n++
	}
	return n
}

// call is a batch of one publisher.
type call struct {
	entries []entry
	until   time.Time // then it is not sent any more
	ids     []push.ID
	err     error
	done    chan struct{}
}

// writer sends batches to the server, one at a time; what comes meanwhile is
// the next one. Its goroutine stays: a stack that has grown is a third of what a
// publish costs.
type writer struct {
	b     *Broker
	name  string // of this writer, among the keys
	batch uint64 // the number of the last batch; of the goroutine
	news  chan struct{}

	mu    sync.Mutex
	queue []*call
	ended bool
}

func (w *writer) init(b *Broker) {
	w.b, w.news = b, make(chan struct{}, 1)
	name := make([]byte, 8)
	for i := range name {
		name[i] = byte(rand.Uint32())
	}
	w.name = hex.EncodeToString(name)
}

// write waits until entries are in the log. When ctx or Timeout ends before, their
// outcome is unknown.
func (w *writer) write(ctx context.Context, entries []entry) ([]push.ID, error) {
	c := &call{entries: entries, until: time.Now().Add(w.b.cfg.Timeout), done: make(chan struct{})}
	if !w.enqueue(c) {
		return nil, push.ErrClosed
	}
	patience := time.NewTimer(w.b.cfg.Timeout)
	defer patience.Stop()
	select {
	case <-c.done:
		return c.ids, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
		return nil, w.b.failed(ctx, "publishing", context.DeadlineExceeded)
	}
}

func (w *writer) enqueue(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.b.life.Err() != nil {
		return false
	}
	w.queue = append(w.queue, c)
	select {
	case w.news <- struct{}{}:
	default:
	}
	return true
}

// work sends what is in the queue, until Close and all of it.
func (w *writer) work() {
	for {
		for calls := w.next(); calls != nil; calls = w.next() {
			w.settle(calls)
		}
		select {
		case <-w.news:
		case <-w.b.life.Done():
			if w.end() {
				return
			}
		}
	}
}

// end ends the writer if nothing is left to send.
func (w *writer) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = len(w.queue) == 0
	return w.ended
}

func (w *writer) settle(calls []*call) {
	if calls[0].until.After(time.Now()) { // none of the others came earlier
		w.send(calls)
	} else {
		refuse(calls, fmt.Errorf("%w: nothing was sent: what came before waits already", ErrDisconnected))
	}
	for _, c := range calls {
		close(c.done)
	}
}

// next takes the calls of the next batch.
func (w *writer) next() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.queue = nil
		return nil
	}
	n, events, bytes := 0, 0, 0
	for ; n < len(w.queue) && (n == 0 || events < batchEvents && bytes < batchBytes); n++ {
		events += len(w.queue[n].entries)
		for _, e := range w.queue[n].entries {
			bytes += len(e.content)
		}
	}
	calls := w.queue[:n:n]
	w.queue = w.queue[n:]
	return calls
}

// send publishes a batch with one script. Nobody waits for it longer than Timeout:
// see write.
func (w *writer) send(calls []*call) {
	b := w.b
	w.batch++
	keys := b.keys.log(b.keys.writer(w.name))
	args := []any{w.batch, b.cfg.Feed, push.IdemWindow.Milliseconds()}
	for _, c := range calls {
		for _, e := range c.entries {
			idem := ""
			if keys = append(keys, b.keys.topic(e.topic)); e.idem != "" {
				keys, idem = append(keys, b.keys.idem(e.topic, e.idem)), "1"
			}
			args = append(args, e.topic, e.check, e.most, e.content, idem)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Timeout)
	defer cancel()
	reply, err := publishScript.Run(ctx, b.rdb, keys, append(b.seen.args(), args...)...).Slice()
	if err != nil {
		refuse(calls, suspect(b.failed(context.Background(), "publishing", err), calls))
		return
	}
	s, ids := b.learn(reply), reply[5:]
	for _, c := range calls {
		c.ids, c.err = s.ids(ids[:len(c.entries)])
		ids = ids[len(c.entries):]
	}
}

// lowestLimit is the lowest proto-max-bulk-len that a server can have. One that
// gets more than its own closes the connection without a word.
const lowestLimit = 1 << 20

func suspect(err error, calls []*call) error {
	for _, c := range calls {
		for _, e := range c.entries {
			if len(e.content) > lowestLimit && errors.Is(err, ErrDisconnected) {
				return fmt.Errorf("%w (an event takes %d bytes: is the server's proto-max-bulk-len above that?)", err, len(e.content))
			}
		}
	}
	return err
}

func refuse(calls []*call, err error) {
	for _, c := range calls {
		c.err = err
	}
}

func (s state) ids(list []any) ([]push.ID, error) {
	ids := make([]push.ID, len(list))
	for i, v := range list {
		id, _ := v.(string)
		seq, check, err := position(id)
		if err != nil {
			return nil, err
		}
		ids[i] = s.id(seq, check)
	}
	return ids, nil
}
