package ws

import (
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// One operation is the frame of an event of 128 bytes.
func BenchmarkEncode(b *testing.B) {
	e := push.Event{ID: push.ID{Epoch: 1, Seq: 1 << 20, Check: 7}, Topic: "t", Name: "post", Data: make([]byte, 128)}
	for i := range e.Data {
		e.Data[i] = 'x'
	}
	for _, as := range []struct {
		name string
		*push.Encoding
	}{{"envelope", envelopeFrames}, {"plain", plainFrames}} {
		b.Run("as="+as.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				push.NewMessage(e).Encoded(as.Encoding)
			}
		})
	}
}
