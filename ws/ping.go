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

func (c *conn) startPinging() {
	c.pinger = time.AfterFunc(1<<62, c.ping)
	c.pinger.Reset(c.opts.Ping)
}

// ping looks after the client's silence. It runs on a timer, for which no
// goroutine waits.
func (c *conn) ping() {
	if c.closed.Load() {
		return
	}
	now, heard := c.now(), time.Duration(c.heard.Load())
	if quiet := now - heard; quiet < c.opts.Ping {
		c.pinger.Reset(c.opts.Ping - quiet)
		return
	}
	if st := c.stream.Load(); st != nil {
		c.pingBy(st, now, heard)
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

// pingBy pings by way of the hub, and gives the client up: nobody reads who
// would notice that it does not answer.
func (c *conn) pingBy(st *push.Stream, now, heard time.Duration) {
	switch {
	case c.pinged <= heard:
		c.pinged = now
		st.Inject([]byte{finPing, 0}, false)
	case now-c.pinged >= c.opts.pongWait && c.silent != nil:
		c.silent()
		return
	}
	c.pinger.Reset(min(c.opts.Ping, c.pinged+c.opts.pongWait-now))
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
