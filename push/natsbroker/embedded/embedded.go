// Package embedded is a log that survives a restart, with no server to install:
// NATS JetStream inside this process, with its files in a directory.
//
//	b, err := embedded.New("/var/lib/app/log")
//	hub := push.NewHub(b)
//
// # What is guaranteed
//
// What was acknowledged is there after the process was killed at any moment. If
// the machine itself dies, what the operating system had not written to the disk
// is lost: up to two minutes, or nothing with Config.SyncAlways, which costs a
// write to the disk an event. Readers are told of such a loss as a gap of reason
// epoch if anything that knows more comes back with the log; a client whose
// cursor lies beyond its end is always told.
//
// One process at a time may have a directory. An application that outgrows one
// machine moves to a NATS cluster with package natsbroker: the log is the same.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
)

// Config configures NewWithConfig.
type Config struct {
	// Dir is where the files are. It is created. Required.
	Dir string

	// Log says what the log keeps; its Replicas and Memory are not for here.
	// Optional.
	Log natsbroker.Config

	// SyncAlways has the disk confirm each event before it is acknowledged.
	// Optional. Default false: every two minutes.
	SyncAlways bool

	// MaxFileBytes bounds what the files take. Optional. Default three quarters
	// of what is free on the disk.
	MaxFileBytes int64
}

// Broker is a natsbroker.Broker with its server.
type Broker struct {
	*natsbroker.Broker
	server *server.Server
	nc     *nats.Conn
	lock   *os.File
	close  sync.Once
}

var _ push.Broker = (*Broker)(nil)

// New opens the log in a directory, or creates one, with the defaults of
// natsbroker.Config. It returns once the log can be used.
func New(dir string) (*Broker, error) { return NewWithConfig(Config{Dir: dir}) }

// startTimeout is how long a server may take to read its files.
const startTimeout = time.Minute

// NewWithConfig opens the log in a directory.
func NewWithConfig(cfg Config) (*Broker, error) {
	if cfg.Dir == "" {
		return nil, errors.New("embedded: Config.Dir is required: name a directory for the log's files")
	}
	if cfg.Log.Replicas > 1 || cfg.Log.Memory {
		return nil, errors.New("embedded: Config.Log.Replicas and Memory make no sense in one process with files: leave them out")
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{lock: lock}
	if err := b.start(cfg); err != nil {
		_ = b.Close(context.Background())
		return nil, fmt.Errorf("embedded: log in %s: %w", cfg.Dir, err)
	}
	return b, nil
}

// lockDir keeps a second process out of a directory.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("embedded: %s is in use by another process, or by another broker of this one: %w", dir, err)
	}
	return f, nil
}

func (b *Broker) start(cfg Config) (err error) {
	b.server, err = server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: cfg.Dir, JetStreamMaxStore: cfg.MaxFileBytes,
		SyncAlways: cfg.SyncAlways, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	b.server.Start()
	if !b.server.ReadyForConnections(startTimeout) {
		return fmt.Errorf("not ready after %v", startTimeout)
	}
	if !b.server.JetStreamEnabled() {
		return errors.New("JetStream did not start: are the files readable, is there room on the disk?")
	}
	if b.nc, err = nats.Connect("", nats.InProcessServer(b.server), nats.MaxReconnects(-1)); err != nil {
		return err
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return err
	}
	b.Broker = natsbroker.NewWithConfig(js, cfg.Log)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, err = b.Head(ctx)
	return err
}

// Close ends the broker, then the server.
func (b *Broker) Close(ctx context.Context) (err error) {
	b.close.Do(func() {
		if b.Broker != nil {
			err = b.Broker.Close(ctx)
		}
		if b.nc != nil {
			b.nc.Close()
		}
		if b.server != nil {
			b.server.Shutdown()
			b.server.WaitForShutdown()
		}
		err = errors.Join(err, b.lock.Close())
	})
	return err
}
