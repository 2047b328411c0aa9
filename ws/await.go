package ws

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
)

// What session.reading says.
const (
	notReading = iota // the connection is watched for something to read
	isReading         // a goroutine reads what there is
	hasRead           // nothing is read any more
)

// await begins to read without a goroutine that waits.
func (s *session) await() {
	s.conn.kick = func() { go s.readable() }
	s.conn.silent = func() {
		s.stopReading(fmt.Errorf("no sign of life for %v: %w", s.opts.Ping+s.opts.pongWait, os.ErrDeadlineExceeded))
	}
	if len(s.conn.early) > 0 {
		go s.readable()
		return
	}
	s.watch()
}

func (s *session) watch() {
	if err := s.conn.direct.Await(s.readable); err != nil {
		s.stopReading(err)
	}
}

// stopReading ends reading, unless somebody reads: who then ends by himself,
// by his deadline or since the connection is closed.
func (s *session) stopReading(err error) {
	if s.reading.CompareAndSwap(notReading, hasRead) {
		s.readEnded(s.conn.fail(err))
	}
}

// stopAwaiting closes the connection for whoever reads.
func (s *session) stopAwaiting() {
	_ = s.conn.direct.Close()
	s.stopReading(net.ErrClosed)
}

// readable reads what there is, and then waits again. It runs in a goroutine of
// its own, for whose time buffers are held.
func (s *session) readable() {
	if !s.reading.CompareAndSwap(notReading, isReading) {
		return
	}
	err := error(errPanic) // also if Actions calls runtime.Goexit
	defer func() {
		if v := recover(); v != nil {
			s.opts.Logger.Error("ws: panic", "panic", v, "stack", string(debug.Stack()))
			err = errPanic
		}
		if err != nil {
			s.reading.Store(hasRead)
			s.readEnded(err)
			return
		}
		s.reading.Store(notReading)
		s.watch()
	}()
	err = s.readSome()
}

// readSome reads messages as long as something was read already.
func (s *session) readSome() error {
	for {
		control, err := s.conn.readControl()
		if err == nil && !control {
			err = s.message()
		}
		if err != nil || s.conn.emptied() {
			return err
		}
	}
}

// readControl reads a ping or pong that lies between two messages, after which
// coder would wait for the next frame. Whatever else there is, also if it is
// wrong, it leaves to coder. It returns the client's fault.
func (c *conn) readControl() (bool, error) {
	const masked, mask = 0x80, 4
	head, err := c.br.Peek(2)
	if err != nil || head[0] != finPing && head[0] != finPong || head[1] < masked || head[1] > masked+125 {
		return false, nil //nolint:nilerr // coder reads it again, and tells
	}
	ping := head[0] == finPing
	frame := make([]byte, 2+mask+int(head[1]-masked))
	if _, err := io.ReadFull(c.br, frame); err != nil {
		return true, c.explain(err)
	}
	payload := frame[2+mask:]
	for i := range payload {
		payload[i] ^= frame[2+i%mask]
	}
	if ping {
		c.onPing(context.Background(), payload)
	} else {
		c.onPong(context.Background(), payload)
	}
	if c.fault != nil {
		return true, c.fault
	}
	return true, nil
}
