package natsbroker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
)

// Config says where the log is and what it keeps. All nodes over one log must
// have the same.
type Config struct {
	// Stream is the name of the log's stream; its state lives in a second one,
	// with "_STORE" appended. Optional. Default "PUSH".
	Stream string

	// Prefix begins all subjects: events are at <Prefix>.e.<topic>, with "/" as
	// ".". Optional. Default "push".
	Prefix string

	// Count is how many events each topic keeps. JetStream has one count for a
	// whole stream, so it holds for all topics. Optional. Default
	// push.DefaultCount; negative: no limit.
	Count int

	// Age removes events that are older, in all topics. Below push.IdemWindow
	// it shortens that as well: the server's memory of keys is no longer than
	// its messages. Optional. Default push.DefaultAge; negative: no limit.
	Age time.Duration

	// MaxBytes bounds the stream over all topics; the oldest events go first.
	// Optional. Default no limit but that of the server.
	MaxBytes int64

	// Replicas is how many servers of a cluster keep each event, when the
	// streams are created. Optional. Default 1.
	Replicas int

	// Memory keeps the streams in the server's memory: a restart of it loses
	// them, which readers are told. Optional. Default files.
	Memory bool

	// StoreBytes bounds the state that goes with the log (Broker.Store).
	// Optional. Default push.DefaultStoreBytes.
	StoreBytes int64

	// Timeout is how long one operation waits for the server. Optional. Default
	// 5 s.
	Timeout time.Duration
}

// ErrConfig is wrapped by the errors about a stream that is not as Config says.
// The driver never changes a stream that it finds.
var ErrConfig = errors.New("natsbroker: the stream is not configured as this broker needs it")

// ErrDisconnected is wrapped by the errors of operations while the connection to
// NATS is down. It comes back by itself.
var ErrDisconnected = errors.New("natsbroker: not connected to NATS")

func (c Config) withDefaults() Config {
	c.Stream = cmp.Or(c.Stream, "PUSH")
	c.Prefix = cmp.Or(c.Prefix, "push")
	c.Count = cmp.Or(c.Count, push.DefaultCount)
	c.Age = max(cmp.Or(c.Age, push.DefaultAge), 0)
	c.MaxBytes = cmp.Or(c.MaxBytes, -1)
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.StoreBytes = cmp.Or(c.StoreBytes, push.DefaultStoreBytes)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	return c
}

// check panics if no stream can have such a name: that is a mistake in a
// program, found at its first start.
func (c Config) check() {
	if strings.ContainsAny(c.Stream, ".*>/\\ \t\r\n") {
		panic(fmt.Sprintf("natsbroker: Config.Stream %q: a stream's name has none of . * > / \\ and no white space", c.Stream))
	}
	for token := range strings.SplitSeq(c.Prefix, ".") {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n") || strings.HasPrefix(c.Prefix, "$") {
			panic(fmt.Sprintf("natsbroker: Config.Prefix %q: it must be a subject without wildcards that does not start with $", c.Prefix))
		}
	}
}

// perSubject is how many messages a subject holds: one more than a topic has
// events, as evidence of those that are gone.
func (c Config) perSubject() int64 {
	if c.Count < 0 {
		return -1
	}
	return int64(c.Count) + 1
}

func (c Config) storage() jetstream.StorageType {
	if c.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// log is the configuration of the log's stream. Nobody can delete or purge
// single messages: that would leave holes without evidence.
func (c Config) log() jetstream.StreamConfig {
	dup := push.IdemWindow
	if c.Age > 0 {
		dup = min(dup, c.Age)
	}
	return jetstream.StreamConfig{
		Name:        c.Stream,
		Description: "dualpush: the log",
		Subjects:    []string{c.Prefix + ".e.>", c.Prefix + ".t"},
		Retention:   jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxMsgsPerSubject: c.perSubject(), MaxMsgs: -1, MaxBytes: c.MaxBytes, MaxAge: c.Age,
		Storage: c.storage(), Replicas: c.Replicas, Duplicates: dup,
		AllowDirect: true, DenyDelete: true, DenyPurge: true,
	}
}

// differences says what of a stream's configuration is not as wanted, and
// matters.
func differences(want, got jetstream.StreamConfig) error {
	var list []string
	differ := func(what string, want, got any) {
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			list = append(list, fmt.Sprintf("%s is %s, not %s", what, g, w))
		}
	}
	slices.Sort(got.Subjects)
	differ("subjects", want.Subjects, got.Subjects)
	differ("retention", want.Retention, got.Retention)
	differ("discard", want.Discard, got.Discard)
	differ("max_msgs_per_subject", want.MaxMsgsPerSubject, got.MaxMsgsPerSubject)
	differ("max_msgs", want.MaxMsgs, got.MaxMsgs)
	differ("max_bytes", want.MaxBytes, got.MaxBytes)
	differ("max_age", want.MaxAge, got.MaxAge)
	differ("storage", want.Storage, got.Storage)
	differ("duplicate_window", want.Duplicates, got.Duplicates)
	differ("allow_direct", want.AllowDirect, got.AllowDirect)
	differ("deny_delete", want.DenyDelete, got.DenyDelete)
	differ("deny_purge", want.DenyPurge, got.DenyPurge)
	differ("allow_msg_ttl", want.AllowMsgTTL, got.AllowMsgTTL)
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("%w: of stream %q %s: change it (nats stream edit), change Config, or name another stream",
		ErrConfig, want.Name, strings.Join(list, "; "))
}
