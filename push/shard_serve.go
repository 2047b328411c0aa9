package push

import "context"

// serve writes what a stream is behind: one batch, so that no stream keeps the
// others waiting.
func (sh *shard) serve(st *Stream) {
	inject, held, gone := sh.look(st)
	if held {
		return
	}
	if gone != nil {
		sh.end(st, gone)
		return
	}
	if !st.opened {
		if !sh.openStream(st, inject) {
			return
		}
	} else if len(inject) > 0 && !sh.put(st, inject) {
		return
	}
	b, do, err := st.next()
	switch {
	case err != nil:
		sh.end(st, err)
	case do == doWait:
	case do == doPage:
		go st.page(sh.holdForPage(st))
	case sh.write(st, &b):
		sh.again(st)
	}
}

// look takes what others left for the stream, unless it is held or over.
func (sh *shard) look(st *Stream) (inject []byte, held bool, gone error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if st.held || st.left {
		return nil, true, nil
	}
	inject, st.inject = st.inject, nil
	st.makeRoomLocked()
	return inject, false, st.gone
}

// hold leaves a stream alone until it resumes by itself.
func (sh *shard) hold(st *Stream) {
	st.sub.release()
	sh.mu.Lock()
	st.held = true
	sh.mu.Unlock()
}

// holdForPage is hold until a page is read, for which it returns the context:
// it ends when the client is gone.
func (sh *shard) holdForPage(st *Stream) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	st.sub.release()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st.held, st.cancel = true, cancel
	if st.gone != nil {
		cancel()
	}
	return ctx
}

func (sh *shard) again(st *Stream) {
	sh.mu.Lock()
	sh.queueLocked(st)
	sh.mu.Unlock()
}

// openStream writes what the stream begins with, and then inject.
func (sh *shard) openStream(st *Stream, inject []byte) bool {
	st.opened = true
	buf, err := st.frames.AppendOpen(sh.scratch(), st.sub)
	if err != nil {
		sh.end(st, err)
		return false
	}
	return sh.put(st, append(buf, inject...))
}

func (sh *shard) scratch() []byte {
	if sh.buf == nil {
		sh.buf = make([]byte, 0, scratch)
	}
	return sh.buf[:0]
}

// next returns what is to be written, without waiting.
func (st *Stream) next() (Batch, verdict, error) {
	if st.paged == nil {
		return st.sub.poll()
	}
	b := *st.paged
	st.paged = nil
	return b, doReturn, st.sub.ending()
}

// put writes b, which is then complete sooner or later. It reports false if
// the stream has to wait for that, or has ended.
func (sh *shard) put(st *Stream, b []byte) bool {
	n, err := st.conn.TryWrite(b)
	if err != nil {
		sh.end(st, goneBecause(err))
		return false
	}
	if n < len(b) {
		sh.wait(st, b[n:])
		return false
	}
	return true
}

// wait has a goroutine of the stream's own write the rest of a frame.
func (sh *shard) wait(st *Stream, rest []byte) {
	rest = append([]byte(nil), rest...) // it is in the shard's scratch
	sh.hold(st)
	go st.finish(rest)
}

// write writes a batch by as few writes as its size allows. Where the
// connection is full, only the frame that it took a part of is kept: the
// reader's position moves back to that frame's event.
func (sh *shard) write(st *Stream, b *Batch) bool {
	buf, err := st.frames.AppendBatch(sh.scratch(), st.sub, b)
	if err != nil {
		sh.end(st, err)
		return false
	}
	enc := st.frames.Encoding()
	head, from := len(buf), 0
	for i, m := range b.Messages {
		frame := m.Encoded(enc)
		if len(buf) > 0 && len(buf)+len(frame) > scratch {
			if !sh.putMessages(st, b, buf, head, from, i) {
				return false
			}
			buf, head, from = buf[:0], 0, i
		}
		buf = append(buf, frame...)
	}
	if cap(buf) <= 2*scratch {
		sh.buf = buf[:0]
	}
	return sh.putMessages(st, b, buf, head, from, len(b.Messages))
}

// putMessages writes buf, which holds head bytes of control events and then
// the messages of a batch that start at from and end before to.
func (sh *shard) putMessages(st *Stream, b *Batch, buf []byte, head, from, to int) bool {
	n, err := st.conn.TryWrite(buf)
	if err != nil {
		sh.end(st, goneBecause(err))
		return false
	}
	if n == len(buf) {
		return true
	}
	end, pos := head, b.From // of what is complete once the rest is written
	if from > 0 {
		pos = b.Messages[from-1].ID
	}
	enc := st.frames.Encoding()
	for i := from; end <= n && i < to; i++ { // at a frame's edge the next one waits: something must
		end += len(b.Messages[i].Encoded(enc))
		pos = b.Messages[i].ID
	}
	st.sub.rewind(pos)
	sh.wait(st, buf[n:end])
	return false
}

// end takes a stream off its hub and tells its owner.
func (sh *shard) end(st *Stream, err error) {
	st.sub.release()
	sh.remove(st)
	go st.ended(err)
}
