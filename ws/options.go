package ws

import (
	"log/slog"
	"time"
)

// Options configures Serve. A nil *Options is the zero Options.
type Options struct {
	// Actions carries out what the client asks for. Optional. Default: every
	// action is refused with 403, plain messages with close code 1008.
	Actions Actions

	// MaxMessage is the largest message that a client may send, in bytes.
	// Optional. Default 64 KiB.
	MaxMessage int64

	// Rate is how many messages a second a client may send, and Burst how
	// many at once after a pause. Pings and pongs count apart: 10 a second,
	// 60 at once. Optional. Default 20 and 60.
	Rate  float64
	Burst int

	// Ping is the silence of the client after which it is pinged; it is given
	// up if it stays silent for 10 s more. Optional. Default 25 s.
	Ping time.Duration

	// WriteTimeout ends the connection of a client that takes nothing for so
	// long: it must take up to 64 KiB in this time, or in three quarters of
	// it. Optional. Default 30 s.
	WriteTimeout time.Duration

	// Logger gets the errors and panics of Actions that the client is told
	// nothing about. Optional. Default slog.Default().
	Logger *slog.Logger

	pongWait time.Duration // for tests
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.MaxMessage <= 0 {
		opts.MaxMessage = 64 << 10
	}
	if opts.Rate <= 0 {
		opts.Rate = 20
	}
	if opts.Burst <= 0 {
		opts.Burst = 60
	}
	if opts.Ping <= 0 {
		opts.Ping = 25 * time.Second
	}
	if opts.WriteTimeout <= 0 {
		opts.WriteTimeout = 30 * time.Second
	}
	if opts.pongWait == 0 {
		opts.pongWait = pongWait
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return opts
}
