package wire

import (
	"errors"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Frames is a Framer for streams that the hub writes; see push.Frames.
type Frames struct{ Framer }

var _ push.Frames = Frames{}

// AppendOpen implements push.Frames.
func (f Frames) AppendOpen(dst []byte, sub *push.Subscription) ([]byte, error) {
	return f.AppendControl(dst, sub.Position(), Open, openData(sub))
}

// AppendBatch implements push.Frames.
func (f Frames) AppendBatch(dst []byte, _ *push.Subscription, b *push.Batch) ([]byte, error) {
	return appendControls(dst, f.Framer, b)
}

// Ending returns how a stream that failed with err is to end: nil if its
// client is gone.
func Ending(err error) *push.CloseError {
	if errors.Is(err, push.ErrClosed) {
		return &push.CloseError{Code: push.CloseDrain, Reason: "the server closed the log", Retry: time.Second}
	}
	end, _ := errors.AsType[*push.CloseError](err)
	return end
}
