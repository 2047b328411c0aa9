package redisbroker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

func TestWrongCredentialsAreNamed(t *testing.T) {
	t.Parallel()
	s := siteAt(t, startServer(t))
	s.do("CONFIG", "SET", "requirepass", "secret")
	s.do("CLIENT", "KILL", "SKIPME", "yes")
	s.Unready("NOAUTH")
	siteAt(t, s.server, func(o *redis.Options) { o.Password = "wrong" }).Unready("WRONGPASS")
	s.do("CONFIG", "SET", "requirepass", "")
	s.UntilReady()
}

// A server that drops keys when it is full is refused, by name, and taken as
// soon as it is right.
func TestServerThatEvictsIsNamed(t *testing.T) {
	srv := startServer(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	s := siteAt(t, srv)
	s.Unready("maxmemory-policy is allkeys-lru", "noeviction")
	s.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	s.UntilReady()
	s.Publish(1)
}

// A server that is full refuses events and says so; what is there is read.
func TestServerIsFull(t *testing.T) {
	s := newSite(t)
	ids := s.Publish(3)
	s.Gets(ids...)
	s.do("CONFIG", "SET", "maxmemory", "1mb")
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); err == nil || !strings.Contains(err.Error(), "the server is full: raise maxmemory") {
		t.Errorf("Publish: %v", err)
	}
	if err := s.Hub.Store().Set(t.Context(), "k", nil, time.Hour); !errors.Is(err, push.ErrStoreFull) {
		t.Errorf("Set: %v", err)
	}
	s.Subscribe(push.After(ids[0]))
	s.Gets(ids[1:]...)
	s.do("CONFIG", "SET", "maxmemory", "0")
	s.Gets(s.Publish(2)...)
}

func TestEventAboveTheLimit(t *testing.T) {
	s := newSite(t)
	small := push.Event{Topic: "a", Data: []byte("small")}
	_, err := s.Hub.Publish(t.Context(), small, push.Event{Topic: "a", Data: make([]byte, 1<<20)})
	if !errors.Is(err, push.ErrTooLarge) || !strings.Contains(err.Error(), "1048576") {
		t.Errorf("Publish of an event above the limit: %v", err)
	}
	if head, err := s.Hub.Head(t.Context()); err != nil || head.Seq != 0 {
		t.Errorf("one event of two was too large: head %v, error %v", head, err)
	}
	ids, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a", Data: make([]byte, 1<<20-64)})
	if err != nil {
		t.Fatalf("Publish of an event just below the limit: %v", err)
	}
	s.Gets(ids...)
}

// The server's own limit may be lower: it says so, and the log goes on.
func TestEventAboveTheServersLimit(t *testing.T) {
	s := newSite(t, "--proto-max-bulk-len", "1mb")
	b := redisbroker.NewWithConfig(s.rdb, redisbroker.Config{MaxEvent: 4 << 20})
	defer func() { _ = b.Close(t.Context()) }()
	if _, err := b.Publish(t.Context(), push.Event{Topic: "a", Data: make([]byte, 2<<20)}); err == nil || !strings.Contains(err.Error(), "proto-max-bulk-len") {
		t.Errorf("Publish of an event above the server's limit: %v", err)
	}
	s.Gets(s.Publish(1)...)
}

// Keys that are not ours make an error that names them, and nothing else: the
// broker goes on as soon as they are gone.
func TestKeysAreSomethingElse(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	s := siteAt(t, srv)
	s.UntilReady()
	s.Subscribe(push.FromHead())
	s.Gets(s.Publish(2)...)
	s.do("SET", "{push}:state", "x")
	s.Unready("WRONGTYPE")
	if _, err := s.Hub.Publish(t.Context(), push.Event{Topic: "a"}); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("Publish: %v", err)
	}
	s.do("DEL", "{push}:state")
	s.UntilReady()
	s.resumes()
	s.Gap(push.ReasonEpoch)
}

func TestConfigThatRedisCannotKeepPanics(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer closeClient(t, rdb)
	for _, cfg := range []redisbroker.Config{
		{Name: "a{b"},
		{Rules: []push.Rule{{Pattern: ""}}},
		{Rules: []push.Rule{{Pattern: "a", Retention: push.Retention{Bytes: 1}}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewWithConfig(%+v) did not panic", cfg)
				}
			}()
			redisbroker.NewWithConfig(rdb, cfg)
		}()
	}
}
