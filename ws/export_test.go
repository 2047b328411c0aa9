package ws

import "time"

// For tests of the bytes alone.
var (
	EnvelopeFrames = envelopeFrames
	PlainFrames    = plainFrames
	CloseFrame     = closeFrame
)

// SetPongWait sets how long a ping may go without an answer.
func (o *Options) SetPongWait(d time.Duration) { o.pongWait = d }
