package main

import (
	"errors"

	"github.com/nats-io/nats-server/v2/server"
)

// startBroker starts a nats-server with its files in a directory. It listens on
// this machine only.
func startBroker(dir string) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(patience) || !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("the broker did not start")
	}
	return s, nil
}
