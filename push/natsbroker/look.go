package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

// epochKey is where a stream's metadata says which epoch it is in, once it has
// moved back.
const epochKey = "dualpush-epoch"

// state is what the stream's leader says of the log.
type state struct {
	epoch       uint64
	first, last uint64 // sequences of the stream
	head        push.ID
	replicas    int
}

// floor is the position up to which events may be gone without evidence: age
// and MaxBytes remove what is at the stream's beginning, whatever its topic.
// What a full topic removes does not move it: before it lies a tick.
func (s *state) floor() uint64 { return min(max(s.first, 1)-1, s.head.Seq) }

// epochOf returns the epoch of a stream: which one it is, and how often it lost
// its end. A stream that was deleted comes back as another.
func epochOf(info *jetstream.StreamInfo) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d %s", info.Config.Name, info.Created.UnixNano(), info.Config.Metadata[epochKey])
	return max(h.Sum64(), 1)
}

// look asks the stream's leader for the state of the log, and puts right what it
// can: it creates a stream that is not there, and gives one that has lost its
// end a new epoch.
func (b *Broker) look(ctx context.Context) (state, error) {
	for {
		seen, gen := b.newestSeen(), b.nc.Stats().Reconnects
		s, sound, err := b.tryLook(ctx, seen)
		if err != nil {
			return state{}, err
		}
		if sound {
			b.looked(&s, gen)
			return s, nil
		}
	}
}

// tryLook returns false if there was something to put right, and looks no further.
func (b *Broker) tryLook(ctx context.Context, seen push.ID) (s state, sound bool, err error) {
	info, err := b.info(ctx, "")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, false, b.create(ctx)
	}
	if err != nil {
		return s, false, err
	}
	if err := differences(b.cfg.log(), info.Config); err != nil {
		return s, false, err
	}
	if info.State.LastSeq == 0 { // nobody has finished creating it
		return s, false, b.firstTick(ctx)
	}
	s, err = b.headOf(ctx, info, seen)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	lost, err := b.lostEnd(ctx, &s, seen)
	if err == nil && (lost || b.left(s.epoch)) {
		return s, false, b.newEpoch(ctx, s.epoch)
	}
	return s, err == nil, err
}

func (b *Broker) looked(s *state, gen uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.head.Epoch != b.seen.Epoch && b.seen.Epoch != 0 {
		b.past = append(b.past, b.seen.Epoch)
	}
	if s.head.Epoch != b.seen.Epoch || s.head.Seq > b.seen.Seq {
		b.seen = s.head
	}
	b.gen, b.stale = gen, false
}

// left reports whether an epoch is one that this broker has seen replaced: the
// server came back with files from before that.
func (b *Broker) left(epoch uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.past, epoch)
}

// info asks for the stream's configuration and state, with the number of
// messages of each subject that matches filter.
func (b *Broker) info(ctx context.Context, filter string) (*jetstream.StreamInfo, error) {
	stream, err := again(ctx, func(ctx context.Context) (jetstream.Stream, error) { return b.js.Stream(ctx, b.cfg.Stream) })
	if err != nil {
		return nil, err
	}
	if filter == "" {
		return stream.CachedInfo(), nil
	}
	return stream.Info(ctx, jetstream.WithSubjectFilter(filter))
}

// headOf finds the newest event. Ticks are none. If age removed it, the position
// is what this broker remembers, or that of the stream.
func (b *Broker) headOf(ctx context.Context, info *jetstream.StreamInfo, seen push.ID) (state, error) {
	s := state{epoch: epochOf(info), first: info.State.FirstSeq, last: info.State.LastSeq, replicas: info.Config.Replicas}
	m, err := b.get(ctx, getRequest{LastFor: b.events()})
	switch {
	case err == nil:
		s.head = m.id(s.epoch)
		s.last = max(s.last, m.seq)
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return s, err
	case seen.Epoch == s.epoch && seen.Seq > 0:
		s.head = seen
	case s.first > 1:
		s.head = push.ID{Epoch: s.epoch, Seq: s.last}
	default:
		s.head = push.ID{Epoch: s.epoch}
	}
	return s, nil
}

// lostEnd reports whether the stream lacks, in the same epoch, what this broker
// has seen in it. A replica that has just become the leader may need a moment
// until it has read what it knows to be committed.
func (b *Broker) lostEnd(ctx context.Context, s *state, seen push.ID) (bool, error) {
	if seen.Epoch != s.epoch || seen.Seq == 0 {
		return false, nil
	}
	for try := 0; s.last < seen.Seq || s.head.Seq < seen.Seq; try++ {
		if s.replicas <= 1 || try == leaderTries {
			return true, nil
		}
		select {
		case <-time.After(leaderPause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		info, err := b.info(ctx, "")
		if err != nil {
			return false, err
		}
		if *s, err = b.headOf(ctx, info, push.ID{}); err != nil || s.epoch != seen.Epoch {
			return false, err
		}
	}
	return b.differs(ctx, s, seen)
}

const leaderTries, leaderPause = 20, 100 * time.Millisecond

// differs reports whether the event that id names is there and has another
// check. If it is gone, the epoch decides.
func (b *Broker) differs(ctx context.Context, s *state, id push.ID) (bool, error) {
	switch {
	case id.Check == 0 || id.Seq == 0:
		return false, nil
	case id.Seq == s.head.Seq && s.head.Check != 0:
		return id.Check != s.head.Check, nil
	}
	if seen := b.newestSeen(); seen.Epoch == id.Epoch && seen.Seq == id.Seq && seen.Check != 0 && seen.Check != id.Check {
		return true, nil
	}
	m, err := b.get(ctx, getRequest{Seq: id.Seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && m.check() != id.Check, err
}

// knows reports whether id is a position of this log.
func (b *Broker) knows(ctx context.Context, s *state, id push.ID) (bool, error) {
	if id.Epoch != s.epoch || id.Seq > s.last {
		return false, nil
	}
	other, err := b.differs(ctx, s, id)
	return !other, err
}

// create creates the stream. Another node may have been faster.
func (b *Broker) create(ctx context.Context) error {
	_, err := b.js.CreateStream(ctx, b.cfg.log())
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("creating stream %q: %w", b.cfg.Stream, err)
	}
	return nil
}

// firstTick is a stream's first message.
func (b *Broker) firstTick(ctx context.Context) error {
	return b.publishTick(ctx, nats.Header{}, jetstream.WithExpectLastSequence(0))
}

// publishTick publishes a tick, unless another node did.
func (b *Broker) publishTick(ctx context.Context, header nats.Header, opt jetstream.PublishOpt) error {
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: b.tick(), Header: header}, opt)
	if isConflict(err) {
		return nil
	}
	return err
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// The headers of the tick that elects the epoch after one that lost its end.
const (
	headerAfterEpoch = "Push-After-Epoch"
	headerEpoch      = "Push-Epoch"
)

// newEpoch gives the stream another epoch than old, unless it has one. JetStream
// has no compare-and-set for metadata, but for messages: a tick elects the new
// epoch, and whoever sees it writes it down.
func (b *Broker) newEpoch(ctx context.Context, old uint64) error {
	word, err := b.elect(ctx, old)
	if err != nil {
		return err
	}
	info, err := b.info(ctx, "")
	if err != nil || epochOf(info) != old {
		return err
	}
	cfg := info.Config
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[epochKey] = word
	if _, err := b.js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("stream %q has lost its end; giving it a new epoch: %w", cfg.Name, err)
	}
	return nil
}

// elect returns the epoch after old that all nodes agree on.
func (b *Broker) elect(ctx context.Context, old uint64) (string, error) {
	after := strconv.FormatUint(old, 36)
	for {
		var last uint64
		switch m, err := b.get(ctx, getRequest{LastFor: b.tick()}); {
		case err == nil && m.header.Get(headerAfterEpoch) == after:
			return m.header.Get(headerEpoch), nil
		case err == nil:
			last = m.seq
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return "", err
		}
		header := nats.Header{}
		header.Set(headerAfterEpoch, after)
		header.Set(headerEpoch, strconv.FormatUint(rand.Uint64(), 36))
		if err := b.publishTick(ctx, header, jetstream.WithExpectLastSequencePerSubject(last)); err != nil {
			return "", err
		}
	}
}

// Head implements push.Broker.
func (b *Broker) Head(ctx context.Context) (push.ID, error) {
	inner, cancel, err := b.begin(ctx)
	if err != nil {
		return push.ID{}, err
	}
	defer cancel()
	s, err := b.look(inner)
	return s.head, b.explain(ctx, inner, err)
}
