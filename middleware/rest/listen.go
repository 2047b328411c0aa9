package rest

import (
	"bytes"
	"context"

	"github.com/dualpush-go/dualpush/push"
)

// listener is a stream that the hub writes to us, of what mounts tell each other
// on a reserved topic: so no goroutine waits for it. Its functions must not
// block.
type listener struct {
	hear func(data []byte) // an event came; data is valid until hear returns
	lost func()            // the log has lost some before this mount heard them
}

var (
	_ push.Conn   = (*listener)(nil)
	_ push.Frames = (*listener)(nil)

	heardLines = push.NewEncoding("heard", func(dst []byte, e *push.Event) []byte { return append(append(dst, e.Data...), '\n') })
	lostLine   = []byte("lost")
)

// subscribeTo returns a subscription from the head on for a listener to start
// with.
func (h *Handler) subscribeTo(topic string) (*push.Subscription, error) {
	return h.hub.Subscribe(context.Background(), []string{topic}, push.FromHead(), push.Internal())
}

// start has the hub write what sub is about. ended is called when that is over.
func (l *listener) start(sub *push.Subscription, ended func()) {
	sub.NewStream(l, l, func(error) {
		sub.Close()
		ended()
	}).Start()
}

// Encoding implements push.Frames: a line of JSON each.
func (l *listener) Encoding() *push.Encoding { return heardLines }

// AppendOpen implements push.Frames.
func (l *listener) AppendOpen(dst []byte, _ *push.Subscription) ([]byte, error) { return dst, nil }

// AppendBatch implements push.Frames.
func (l *listener) AppendBatch(dst []byte, _ *push.Subscription, b *push.Batch) ([]byte, error) {
	if b.Gap != nil {
		dst = append(append(dst, lostLine...), '\n')
	}
	return dst, nil
}

// TryWrite implements push.Conn. It takes everything.
func (l *listener) TryWrite(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSuffix(line, []byte("\n")); bytes.Equal(line, lostLine) {
			l.lost()
			continue
		}
		l.hear(line)
	}
	return len(b), nil
}

// Write implements push.Conn.
func (l *listener) Write(b []byte) (int, error) { return l.TryWrite(b) }
