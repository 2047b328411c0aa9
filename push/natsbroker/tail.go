package natsbroker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

const (
	feedHeartbeat = time.Second     // of the consumer; two that are missing are a doubt
	probeEvery    = 4 * time.Second // how often Tail looks at the log itself; two in vain are a doubt
)

// Tail implements push.Broker. It follows a consumer, and trusts it with nothing
// but events: their order and number are checked, and whenever there is a doubt
// (a reconnect, a missing heartbeat or message, a consumer that is gone) the own
// position is verified before another consumer goes on from it.
//
// Tail returns an error when the server cannot be reached, or does not answer:
// call it again.
func (b *Broker) Tail(ctx context.Context, after push.ID, deliver func([]push.Event) error) error {
	if b.closed() {
		return push.ErrClosed
	}
	outer := ctx
	ctx, cancel := until(ctx, b.life)
	defer cancel()
	t := &tail{Broker: b, ctx: ctx, deliver: deliver, pos: after, at: after.Seq}
	err := t.run()
	if t.final {
		return err
	}
	return b.explain(outer, ctx, err)
}

// tail is one Tail.
type tail struct {
	*Broker
	ctx     context.Context //nolint:containedctx // Tail's own
	deliver func([]push.Event) error
	pos     push.ID // of the last event delivered
	at      uint64  // the last sequence seen, also of ticks
	final   bool    // what run returns is the contract's
	awaited uint64  // what the last probe found and was not delivered
}

// end returns an error that is Tail's as it is.
func (t *tail) end(err error) error {
	t.final = true
	return err
}

var errDoubt = errors.New("natsbroker: the feed is in doubt")

func (t *tail) run() error {
	if t.pos.IsZero() {
		if err := t.backlog(); err != nil {
			return err
		}
	}
	for {
		if err := t.verify(); err != nil {
			return err
		}
		if err := t.follow(); !errors.Is(err, errDoubt) && !deleted(err) {
			return err
		}
	}
}

// backlog delivers what the log has, page by page, where Tail begins at the
// oldest event.
func (t *tail) backlog() error {
	for {
		p, err := t.pageOfAll()
		if err != nil {
			return err
		}
		if p.Gap != nil && !t.pos.IsZero() {
			return t.end(&push.TailGap{From: t.pos, To: p.Gap.To})
		}
		if len(p.Events) > 0 {
			if err := t.deliver(p.Events); err != nil {
				return t.end(err)
			}
		}
		whole := len(p.Events) == 0 || p.Upto != p.Events[len(p.Events)-1].ID
		t.pos, t.at = p.Upto, p.Upto.Seq
		if whole || p.Upto == t.newestSeen() {
			return nil
		}
	}
}

// looking looks at the log and calls f with what it has found.
func (t *tail) looking(f func(context.Context, *state) error) error {
	ctx, cancel, err := t.begin(t.ctx)
	if err != nil {
		return err
	}
	defer cancel()
	s, err := t.look(ctx)
	if err == nil {
		err = f(ctx, &s)
	}
	if err != nil && !t.final && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (t *tail) pageOfAll() (p push.Page, err error) {
	err = t.looking(func(ctx context.Context, s *state) (err error) {
		if !t.pos.IsZero() && t.pos.Epoch != s.epoch {
			return t.end(push.ErrEpoch)
		}
		p, err = t.all(*s).page(ctx)
		return err
	})
	return p, err
}

// verify looks whether the log still has the position, and nothing was removed
// behind it that no event follows.
func (t *tail) verify() error { return t.looking(t.judge) }

func (t *tail) judge(ctx context.Context, s *state) error {
	known, err := t.knows(ctx, s, t.pos)
	switch {
	case err != nil:
		return err
	case !known:
		return t.end(push.ErrEpoch)
	case s.floor() > t.at && s.floor() > t.pos.Seq:
		return t.gap(ctx, s, s.floor())
	}
	return nil
}

// gap returns the end of a Tail before which events up to a sequence, at least,
// were removed. It goes as far as anything was removed, so that the next Tail
// does not begin with what is left as evidence only.
func (t *tail) gap(ctx context.Context, s *state, upto uint64) error {
	r := t.all(*s)
	if err := r.judge(ctx); err != nil {
		return err
	}
	to := r.hole
	if to.Seq < upto {
		to = push.ID{Epoch: s.epoch, Seq: upto}
	}
	return t.end(&push.TailGap{From: t.pos, To: to})
}

// all reads what lies behind the position, of all topics.
func (t *tail) all(s state) *reading {
	r := t.reading(s, push.Query{After: t.pos, Limit: maxBatch})
	r.filters, r.match = []string{t.events()}, func(string) bool { return true }
	return r
}

// hole ends a Tail whose feed has left out what lies before a sequence.
func (t *tail) hole(next uint64) error {
	return t.looking(func(ctx context.Context, s *state) error {
		if s.epoch != t.pos.Epoch {
			return t.end(push.ErrEpoch)
		}
		return t.gap(ctx, s, next-1)
	})
}

// probe looks at the log, whatever the feed says.
func (t *tail) probe() error { return t.looking(t.compare) }

func (t *tail) compare(ctx context.Context, s *state) error {
	switch {
	case s.epoch != t.pos.Epoch:
		return t.end(push.ErrEpoch)
	case t.awaited > t.at:
		t.awaited = 0
		return errDoubt // the log went on, the feed did not
	}
	t.awaited = s.head.Seq
	if s.floor() > t.at {
		return errDoubt
	}
	return t.keepTicking(ctx)
}

// follow delivers what a consumer brings from the position on.
func (t *tail) follow() error {
	f, err := t.feed()
	if err != nil {
		return err
	}
	defer f.stop()
	status := t.nc.StatusChanged()
	defer t.nc.RemoveStatusListener(status)
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		select {
		case <-f.news:
			if err := t.take(f); err != nil {
				return err
			}
		case <-f.trouble:
			return errDoubt
		case <-status:
			return errDoubt
		case <-probe.C:
			if err := t.probe(); err != nil {
				return err
			}
		case <-t.ctx.Done():
			return context.Cause(t.ctx)
		}
	}
}

// take delivers what has come. Events before a hole are delivered before it is
// told.
func (t *tail) take(f *feed) error {
	var events []push.Event
	var broken error
	var beyond uint64 // a sequence whose predecessor is not there
	for _, m := range f.gather(t.ctx) {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Consumer != f.expect {
			broken = errDoubt
			break
		}
		f.expect++
		s := stored{subject: m.Subject(), seq: meta.Sequence.Stream, time: meta.Timestamp, header: m.Headers(), data: m.Data()}
		if s.seq <= t.at {
			continue
		}
		if s.seq > t.at+1 {
			beyond = s.seq
			break
		}
		t.at = s.seq
		if e, ok := t.event(&s, t.pos.Epoch); ok {
			events = append(events, e)
		} else if s.header.Get(headerAfterEpoch) == strconv.FormatUint(t.pos.Epoch, 36) {
			broken = errReplaced
			break
		}
	}
	if len(events) > 0 {
		t.pos = events[len(events)-1].ID
		t.note(t.pos)
		if err := t.deliver(events); err != nil {
			return t.end(err)
		}
		if err := context.Cause(t.ctx); err != nil {
			return err
		}
	}
	if beyond > 0 {
		return t.hole(beyond)
	}
	if errors.Is(broken, errReplaced) {
		return t.replaced()
	}
	return broken
}

// errReplaced says that a tick elected another epoch.
var errReplaced = errors.New("natsbroker: the log has another epoch")

// replaced has the new epoch written down, whether or not who called for the
// election lives to do it.
func (t *tail) replaced() error {
	return t.looking(func(ctx context.Context, s *state) error {
		if s.epoch != t.pos.Epoch {
			return t.end(push.ErrEpoch)
		}
		if err := t.newEpoch(ctx, t.pos.Epoch); err != nil {
			return err
		}
		return errDoubt
	})
}

// feed is a consumer and what it has brought.
type feed struct {
	news, trouble chan struct{} // of capacity 1
	expect        uint64        // the consumer's next sequence
	buffer        chan jetstream.Msg
	gone          chan struct{}
	stop          func()
}

// feedBuffer is how many messages wait for deliver.
const feedBuffer = 2048

// feed starts a consumer after the position. The server forgets it when nobody
// asks it any more.
func (t *tail) feed() (*feed, error) {
	ctx, cancel, err := t.begin(t.ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	c, err := again(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return t.js.CreateConsumer(ctx, t.cfg.Stream, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: t.at + 1,
			AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
		})
	})
	if err != nil {
		return nil, err
	}
	f := &feed{
		news: make(chan struct{}, 1), trouble: make(chan struct{}, 1), expect: 1,
		buffer: make(chan jetstream.Msg, feedBuffer), gone: make(chan struct{}),
	}
	run, err := c.Consume(f.receive, jetstream.PullMaxMessages(feedBuffer), jetstream.PullHeartbeat(feedHeartbeat),
		jetstream.PullExpiry(30*feedHeartbeat), jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) { signal(f.trouble) }))
	if err != nil {
		return nil, err
	}
	name := c.CachedInfo().Name
	f.stop = func() {
		close(f.gone)
		run.Stop()
		<-run.Closed()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Second)
		defer cancel()
		if t.nc.IsConnected() {
			_ = t.js.DeleteConsumer(ctx, t.cfg.Stream, name)
		}
	}
	return f, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// receive waits while deliver is slow: then the server keeps the rest.
func (f *feed) receive(m jetstream.Msg) {
	select {
	case f.buffer <- m:
		signal(f.news)
	case <-f.gone:
	}
}

// burstWait is how long a burst waits for its rest. The server delivers each event as
// it is stored, so that one burst in nine came in pieces, each of which is a write for
// every reader.
const burstWait = time.Millisecond

// gather takes what has come and, where that came together, the rest of the burst.
// An event that comes alone, with nothing else on its way, does not wait.
func (f *feed) gather(ctx context.Context) []jetstream.Msg {
	list := f.take(nil)
	if len(list) > 1 && len(list) < maxTake {
		select {
		case <-time.After(burstWait):
		case <-ctx.Done():
		}
		list = f.take(list)
	}
	return list
}

// maxTake bounds what one call of deliver gets.
const maxTake = 512

func (f *feed) take(list []jetstream.Msg) []jetstream.Msg {
	list = slices.Grow(list, min(len(f.buffer), maxTake-len(list)))
	for len(list) < maxTake {
		select {
		case m := <-f.buffer:
			list = append(list, m)
			continue
		default:
		}
		break
	}
	if len(f.buffer) > 0 {
		signal(f.news)
	}
	return list
}
