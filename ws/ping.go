package ws

import (
	"context"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// pongWait is how long a ping may go without an answer.
const pongWait = 10 * time.Second

// What a client may send of pings and pongs.
const controlRate, controlBurst = 10, 60

// startPinging looks after the client's silence, by a timer for which no
// goroutine waits. Where the hub writes, it does so for all connections.
func (c *conn) startPinging() {
	if c.direct == nil {
		c.pinger = time.AfterFunc(1<<62, c.ping)
		c.pinger.Reset(c.opts.Ping)
	}
}

func (c *conn) ping() {
	if c.closed.Load() {
		return
	}
	if quiet := c.quiet(); quiet < c.opts.Ping {
		c.pinger.Reset(c.opts.Ping - quiet)
		return
	}
	select {
	case c.lock <- struct{}{}:
	default: // something is being written; not to wait here as well
		c.pinger.Reset(time.Second)
		return
	}
	defer c.unlock()
	if c.writeLocked([]byte{finPing, 0}) == nil {
		c.pinger.Reset(c.opts.Ping)
	}
}

// quiet is how long there was no sign of life.
func (c *conn) quiet() time.Duration { return c.now() - time.Duration(c.heard.Load()) }

// PingEvery implements push.Pinger.
func (w written) PingEvery() time.Duration { return min(w.conn.opts.Ping, w.conn.opts.pongWait) / 4 }

// Ping implements push.Pinger. It gives the client up, too: nobody reads who
// would notice that it does not answer.
func (w written) Ping() {
	c := w.conn
	st := c.stream.Load()
	if st == nil || c.closed.Load() || c.quiet() < c.opts.Ping {
		return
	}
	switch now := c.now(); {
	case c.pinged <= time.Duration(c.heard.Load()):
		c.pinged = now
		st.Inject([]byte{finPing, 0}, false)
	case now-c.pinged >= c.opts.pongWait:
		c.silent()
	}
}

// onPing is called by coder, in the reading goroutine. It answers itself:
// coder would give up, and close, after 5 s in which the client does not read.
func (c *conn) onPing(_ context.Context, payload []byte) bool {
	if c.count(payload) && !c.closed.Load() {
		_ = c.write(append([]byte{finPong, byte(len(payload))}, payload...)) // reading fails, too
	}
	return false
}

// onPong is called by coder, in the reading goroutine.
func (c *conn) onPong(_ context.Context, payload []byte) { c.count(payload) }

// count counts a ping or pong, and reports whether it is one too many.
func (c *conn) count(payload []byte) bool {
	const header = 14 // at most, and with the mask
	c.mark = min(c.mark+header+int64(len(payload)), c.raw)
	if c.fault == nil && !c.controls.take(c.now()) {
		c.fault = &push.CloseError{Code: push.ClosePolicy, Reason: "too many pings or pongs"}
	}
	return c.fault == nil
}
