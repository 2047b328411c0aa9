package ws

// For tests of the bytes alone.
var (
	EnvelopeFrames = envelopeFrames
	PlainFrames    = plainFrames
	CloseFrame     = closeFrame
)
