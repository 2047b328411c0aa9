package natsbroker_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/pushtest"
)

func TestConformance(t *testing.T) {
	pushtest.Run(t, pushtest.Harness{
		New:         func(tb testing.TB, rules ...push.Rule) (pushtest.Instance, error) { return instance(tb, rules) },
		NoEphemeral: true, NoRules: true, NoBytes: true,
		Parallel: true, Costly: !*long,
	})
}

var streams atomic.Int64

// fresh returns a configuration of a log that nobody has.
func fresh() natsbroker.Config {
	n := streams.Add(1)
	return natsbroker.Config{Stream: fmt.Sprint("TEST", n), Prefix: fmt.Sprint("test", n)}
}

// configOf returns the configuration that rules ask for. What a stream cannot
// keep Config does not have.
func configOf(rules []push.Rule) (natsbroker.Config, error) {
	cfg := fresh()
	switch {
	case len(rules) == 0:
		return cfg, nil
	case len(rules) > 1 || rules[0].Pattern != "**" || rules[0].Bytes != 0 || rules[0].Ephemeral:
		return cfg, errors.New("Config has one count and one age for all topics, and no bytes of a topic")
	}
	cfg.Count, cfg.Age = rules[0].Count, rules[0].Age
	return cfg, nil
}

func instance(tb testing.TB, rules []push.Rule) (pushtest.Instance, error) {
	tb.Helper()
	cfg, err := configOf(rules)
	if err != nil {
		return pushtest.Instance{}, err
	}
	s := lease(tb)
	js := connect(tb, s.url())
	if _, err := js.AccountInfo(tb.Context()); err != nil { // the connection's own goroutine for answers is not the broker's
		return pushtest.Instance{}, err
	}
	tb.Cleanup(func() {
		ctx := context.Background()
		_ = js.DeleteStream(ctx, cfg.Stream)
		_ = js.DeleteStream(ctx, cfg.Stream+"_STORE")
	})
	return pushtest.Instance{
		Broker: natsbroker.NewWithConfig(js, cfg),
		Lose:   func(ctx context.Context) error { return js.DeleteStream(ctx, cfg.Stream) },
		Rewind: func(_ context.Context, n int) error {
			s.kill(syscall.SIGKILL)
			return errors.Join(s.cutTail(cfg.Stream, n), s.start())
		},
		Restart: func(context.Context) error { return s.restart(syscall.SIGKILL) },
		Reopen: func(context.Context) (push.Broker, error) {
			return natsbroker.NewWithConfig(connect(tb, s.url()), cfg), nil
		},
	}, nil
}
