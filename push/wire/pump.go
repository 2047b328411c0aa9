package wire

import (
	"context"
	"sync"

	"github.com/dualpush-go/dualpush/push"
)

// Framer is one form of the wire.
type Framer interface {
	// Encoding is the form of events.
	Encoding() *push.Encoding
	// AppendControl appends a control event. An error ends the stream.
	AppendControl(dst []byte, id push.ID, name string, data any) ([]byte, error)
}

// scratch is how many bytes are gathered before they are written.
const scratch = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, scratch); return &b }}

// Pump writes a stream: push.open, then what sub has, each batch by as few calls of write as its size allows, until ctx
// ends, write fails or the stream is to end; in the last case it writes
// push.close and returns the *push.CloseError. write must not keep the bytes.
// No buffer is held while there is nothing to write.
func Pump(ctx context.Context, sub *push.Subscription, f Framer, write func([]byte) error) error {
	p := pump{f: f, out: write}
	err := p.control(sub.Position(), Open, openData(sub))
	for err == nil {
		var b push.Batch
		if b, err = sub.Next(ctx); err != nil {
			break
		}
		err = p.batch(&b)
	}
	end := Ending(err)
	if end == nil {
		return err
	}
	if !p.failed {
		_ = p.control(sub.Position(), Close, NewCloseData(end)) // the stream ends in any case
	}
	return end
}

func openData(sub *push.Subscription) OpenData {
	data := OpenData{Connection: sub.ID(), Topics: sub.Topics(), Heartbeat: sub.Heartbeat().Milliseconds()}
	if t := sub.Expiry(); !t.IsZero() {
		data.Expires = t.UTC()
	}
	return data
}

type pump struct {
	f      Framer
	out    func([]byte) error
	failed bool // the peer cannot be written to any more
}

func (p *pump) write(b []byte) error {
	err := p.out(b)
	p.failed = err != nil
	return err
}

func (p *pump) control(id push.ID, name string, data any) error {
	b, err := p.f.AppendControl(nil, id, name, data)
	if err != nil || len(b) == 0 {
		return err
	}
	return p.write(b)
}

func (p *pump) batch(b *push.Batch) (err error) {
	held := buffers.Get().(*[]byte)
	buf := (*held)[:0]
	defer func() {
		if cap(buf) <= 2*scratch {
			*held = buf
			buffers.Put(held)
		}
	}()
	if buf, err = appendControls(buf, p.f, b); err != nil {
		return err
	}
	enc := p.f.Encoding()
	for _, m := range b.Messages {
		frame := m.Encoded(enc)
		if len(buf) > 0 && len(buf)+len(frame) > scratch {
			if err := p.write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if len(frame) > scratch {
			if err := p.write(frame); err != nil {
				return err
			}
			continue
		}
		buf = append(buf, frame...)
	}
	if len(buf) == 0 {
		return nil
	}
	return p.write(buf)
}

func appendControls(buf []byte, f Framer, b *push.Batch) (_ []byte, err error) {
	for _, c := range b.Controls {
		if buf, err = f.AppendControl(buf, b.From, c.Name, c.Data); err != nil {
			return buf, err
		}
	}
	if b.Gap != nil {
		if buf, err = f.AppendControl(buf, b.From, Gap, NewGapData(b.Gap, b.Topics)); err != nil {
			return buf, err
		}
	}
	if len(b.Messages) == 0 && b.Gap == nil && b.Controls == nil {
		return f.AppendControl(buf, b.Upto, Heartbeat, nil)
	}
	return buf, nil
}
