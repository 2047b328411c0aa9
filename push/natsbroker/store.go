package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

// store is the state next to the log: a stream with one message a key, which
// the server removes when its time to live has passed.
type store struct{ b *Broker }

var _ push.Store = (*store)(nil)

func (s *store) name() string { return s.b.cfg.Stream + "_STORE" }

func (s *store) config() jetstream.StreamConfig {
	c := s.b.cfg
	return jetstream.StreamConfig{
		Name:        s.name(),
		Description: "dualpush: the state that goes with the log",
		Subjects:    []string{c.Prefix + ".s.>"},
		Retention:   jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: c.StoreBytes,
		Storage: c.storage(), Replicas: c.Replicas, Duplicates: time.Second,
		AllowDirect: true, AllowMsgTTL: true, DenyPurge: true,
	}
}

// key returns the subject of a key, or of the whole segments of a prefix. A
// token cannot be empty; a segment can.
func (s *store) key(key string) string {
	segments := strings.Split(key, "/")
	for i, seg := range segments {
		if seg == "" {
			segments[i] = "~"
		}
	}
	return s.b.cfg.Prefix + ".s." + strings.Join(segments, ".")
}

func (s *store) unkey(subject string) string {
	segments := strings.Split(strings.TrimPrefix(subject, s.b.cfg.Prefix+".s."), ".")
	for i, seg := range segments {
		if seg == "~" {
			segments[i] = ""
		}
	}
	return strings.Join(segments, "/")
}

// do runs one operation. A stream that is not there is created.
func (s *store) do(ctx context.Context, check error, f func(context.Context) error) error {
	if check != nil {
		return check
	}
	inner, cancel, err := s.b.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = f(inner)
	if deleted(err) {
		if err = s.create(inner); err == nil {
			err = f(inner)
		}
	}
	if errors.Is(err, push.ErrStoreFull) {
		return err
	}
	return s.b.explain(ctx, inner, err)
}

// create creates the stream, or says what is wrong with the one that is there.
func (s *store) create(ctx context.Context) error {
	_, err := s.b.js.CreateStream(ctx, s.config())
	if err == nil {
		return nil
	}
	stream, err2 := s.b.js.Stream(ctx, s.name())
	if err2 != nil {
		return fmt.Errorf("creating stream %q: %w", s.name(), err)
	}
	return differences(s.config(), stream.CachedInfo().Config)
}

// Add implements push.Store.
func (s *store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	err = s.do(ctx, push.CheckStoreEntry(key, value, ttl), func(ctx context.Context) error {
		err := s.put(ctx, key, value, ttl, jetstream.WithExpectLastSequencePerSubject(0))
		added = err == nil
		if isConflict(err) {
			return nil
		}
		return err
	})
	return added, err
}

// Set implements push.Store.
func (s *store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.do(ctx, push.CheckStoreEntry(key, value, ttl), func(ctx context.Context) error {
		return s.put(ctx, key, value, ttl)
	})
}

func (s *store) put(ctx context.Context, key string, value []byte, ttl time.Duration, opts ...jetstream.PublishOpt) error {
	m := &nats.Msg{Subject: s.key(key), Data: value, Header: nats.Header{}}
	seconds := int64(math.Ceil(ttl.Seconds())) // the server counts whole ones
	m.Header.Set(jetstream.MsgTTLHeader, strconv.FormatInt(seconds, 10))
	_, err := s.b.js.PublishMsg(ctx, m, append(opts, jetstream.WithRetryAttempts(0))...)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == errCodeStoreFailed && strings.Contains(api.Description, "maximum bytes") {
		return push.ErrStoreFull
	}
	return err
}

// errCodeStoreFailed is the server's JSStreamStoreFailedF.
const errCodeStoreFailed = 10077

// Get implements push.Store.
func (s *store) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	err = s.do(ctx, push.CheckStoreKey(key), func(ctx context.Context) error {
		m, err := s.last(ctx, key)
		if m != nil {
			value, ok = m.data, true
		}
		return err
	})
	return value, ok, err
}

// last returns the message of a key, or nil.
func (s *store) last(ctx context.Context, key string) (*stored, error) {
	m, err := s.b.getFrom(ctx, s.name(), getRequest{LastFor: s.key(key)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if m != nil && m.data == nil {
		m.data = []byte{}
	}
	return m, err
}

// Take implements push.Store. Of many that delete a message the server tells one
// that it did.
func (s *store) Take(ctx context.Context, key string) (value []byte, ok bool, err error) {
	err = s.do(ctx, push.CheckStoreKey(key), func(ctx context.Context) error {
		m, err := s.last(ctx, key)
		if m == nil || err != nil {
			return err
		}
		deleted, err := s.remove(ctx, m.seq)
		if deleted {
			value, ok = m.data, true
		}
		return err
	})
	return value, ok, err
}

// Delete implements push.Store.
func (s *store) Delete(ctx context.Context, key string) error {
	_, _, err := s.Take(ctx, key)
	return err
}

// remove deletes a message, and reports whether it was there.
func (s *store) remove(ctx context.Context, seq uint64) (bool, error) {
	body := fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, seq)
	answer, err := s.b.nc.RequestWithContext(ctx, s.b.api+"STREAM.MSG.DELETE."+s.name(), body)
	if err != nil {
		return false, err
	}
	return deletedAnswer(answer.Data)
}

// List implements push.Store. It reads everything below the last "/" of prefix.
func (s *store) List(ctx context.Context, prefix string) (list map[string][]byte, err error) {
	err = s.do(ctx, push.CheckStorePrefix(prefix), func(ctx context.Context) error {
		list, err = s.read(ctx, prefix)
		return err
	})
	return list, err
}

func (s *store) read(ctx context.Context, prefix string) (map[string][]byte, error) {
	filter := s.b.cfg.Prefix + ".s.>"
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		filter = s.key(prefix[:i]) + ".>"
	}
	list := map[string][]byte{}
	for from := uint64(1); ; {
		batch, more, err := s.b.getBatch(ctx, s.name(), getRequest{Seq: from, NextFor: filter, Batch: maxBatch, MaxBytes: 8 << 20})
		if err != nil {
			return nil, err
		}
		for _, m := range batch {
			if key := s.unkey(m.subject); strings.HasPrefix(key, prefix) {
				list[key] = m.data
			}
			from = m.seq + 1
		}
		if more == 0 || len(batch) == 0 {
			return list, nil
		}
	}
}
