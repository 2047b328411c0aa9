package redisbroker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Config says where the log is and what it keeps. All nodes over one log must
// have the same.
type Config struct {
	// Name is that of the log: its keys are "{name}:…". Optional. Default "push".
	Name string

	// Rules are the retention of topics: of the rules whose pattern matches a
	// topic the first one holds; topics without a rule take the defaults.
	// Redis cannot bound the bytes of a topic: rules with Bytes are refused,
	// and the default of Bytes does not hold. Optional.
	Rules []push.Rule

	// Feed is how many of the newest events, at least, a node may be behind the
	// log before its readers have to turn to History. They are kept on top of
	// what the rules say. Optional. Default 10,000.
	Feed int

	// MaxEvent bounds what an event takes, in bytes: larger ones are refused
	// with push.ErrTooLarge. Optional. Default 1 MiB.
	MaxEvent int

	// Timeout is how long one operation waits for the server. Optional. Default
	// 5 s.
	Timeout time.Duration
}

// ErrConfig is wrapped by the errors about a server that is not configured as
// this broker needs it. It is taken as soon as it is right.
var ErrConfig = errors.New("redisbroker: the server is not configured as this broker needs it")

// ErrDisconnected is wrapped by the errors of operations that the server did not
// answer. The client comes back by itself.
var ErrDisconnected = errors.New("redisbroker: no answer from Redis")

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "push")
	c.Rules = slices.Clone(c.Rules)
	c.Feed = cmp.Or(c.Feed, 10_000)
	c.MaxEvent = cmp.Or(c.MaxEvent, 1<<20)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	return c
}

// check returns why no log can be like this, or nil.
func (c Config) check() error {
	if strings.ContainsAny(c.Name, "{}") {
		return fmt.Errorf("redisbroker: Config.Name %q: it must not have braces", c.Name)
	}
	for _, r := range c.Rules {
		if err := push.CheckPattern(r.Pattern); err != nil {
			return fmt.Errorf("redisbroker: Config.Rules: %w", err)
		}
		if r.Bytes > 0 {
			return fmt.Errorf("redisbroker: Config.Rules: rule for %q: Redis cannot bound the bytes of a topic: "+
				"use Count, and Config.MaxEvent for the size of each event", r.Pattern)
		}
	}
	return nil
}

// retention is that of a push.Rule with its defaults filled in; 0 is no limit.
type retention struct {
	count     int
	age       int64 // ms
	ephemeral bool
}

func (c *Config) rule(topic string) retention {
	for _, r := range c.Rules {
		if push.Match(r.Pattern, topic) {
			return retentionOf(r)
		}
	}
	return retentionOf(push.Rule{})
}

func retentionOf(r push.Rule) retention {
	return retention{
		count:     max(cmp.Or(r.Count, push.DefaultCount), 0),
		age:       milliseconds(max(cmp.Or(r.Age, push.DefaultAge), 0)),
		ephemeral: r.Ephemeral,
	}
}

// milliseconds rounds up: what is more than nothing may not become 0, which is no limit.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// most is how many entries a topic's stream has: one more than it promises, as
// evidence. 0 is no bound; ephemeral topics have no stream, which is -1.
func (r retention) most() int {
	switch {
	case r.ephemeral:
		return -1
	case r.count == 0:
		return 0
	}
	return r.count + 1
}
