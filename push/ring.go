package push

import "slices"

// ring is a queue of messages by ascending sequence. Messages may be removed
// from its middle by marking them gone; forget then counts them, and the ring
// closes its holes when they are more than half of it.
type ring struct {
	buf  []*Message
	off  int // buf[off:] are in use
	dead int // gone messages among them
}

func (r *ring) live() []*Message { return r.buf[r.off:] }

func (r *ring) push(m *Message) {
	if len(r.buf) == cap(r.buf) && r.off > 0 && r.off >= len(r.buf)/2 {
		n := copy(r.buf, r.buf[r.off:])
		clear(r.buf[n:])
		r.buf, r.off = r.buf[:n], 0
	}
	r.buf = append(r.buf, m)
}

// front returns the oldest message that is not gone, or nil.
func (r *ring) front() *Message {
	for r.off < len(r.buf) {
		if m := r.buf[r.off]; !m.gone {
			return m
		}
		r.drop()
		r.dead--
	}
	return nil
}

// drop removes the oldest message.
func (r *ring) drop() {
	r.buf[r.off] = nil
	r.off++
	if r.off == len(r.buf) {
		r.buf, r.off = r.buf[:0], 0
		if cap(r.buf) > 1024 {
			r.buf = nil
		}
	}
}

// forget says that one message of the ring was marked gone.
func (r *ring) forget() {
	r.dead++
	if live := len(r.buf) - r.off; r.dead < 32 || r.dead <= live/2 {
		r.front()
		return
	}
	kept := slices.DeleteFunc(r.buf[r.off:], func(m *Message) bool { return m.gone })
	r.buf = append(make([]*Message, 0, len(kept)+len(kept)/4+8), kept...)
	r.off, r.dead = 0, 0
}

// after returns the messages with sequences above seq, gone ones included.
func (r *ring) after(seq uint64) []*Message {
	live := r.live()
	if n := len(live); n == 0 || live[n-1].ID.Seq <= seq {
		return nil
	}
	lo, hi := 0, len(live)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); live[mid].ID.Seq <= seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return live[lo:]
}
