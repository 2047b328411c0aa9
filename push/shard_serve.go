package push

import "context"

// serve writes what a stream is behind: one batch, so that no stream keeps the
// others waiting, together with what goes before it.
func (sh *shard) serve(j *job) {
	st := j.Stream
	if j.gone != nil {
		sh.end(st, j.gone)
		return
	}
	before, err := sh.preface(st, j.inject)
	if err != nil {
		sh.end(st, err)
		return
	}
	b, do, err := j.next()
	switch {
	case err != nil:
		if sh.put(st, before) {
			sh.end(st, err)
		}
	case do == doWait:
		sh.put(st, before)
	case do == doPage:
		if sh.put(st, before) {
			go st.page(sh.holdForPage(st))
		}
	case !sh.write(st, &b, before):
	case do == doRest:
		st.sub.release()
	default:
		sh.again(st)
	}
}

// hold leaves a stream alone until it resumes by itself.
func (sh *shard) hold(st *Stream) {
	st.sub.release()
	st.leave()
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
	in := st.mailLocked()
	st.held, in.cancel = true, cancel
	if in.gone != nil {
		cancel()
	}
	return ctx
}

func (sh *shard) again(st *Stream) {
	sh.mu.Lock()
	sh.queueLocked(st)
	sh.mu.Unlock()
}

// preface returns what goes before a batch: what the stream begins with, and
// inject.
func (sh *shard) preface(st *Stream, inject []byte) (buf []byte, err error) {
	buf = sh.scratch()
	if !st.opened {
		st.opened = true
		if buf, err = st.frames.AppendOpen(buf, st.sub); err != nil {
			return nil, err
		}
	}
	return append(buf, inject...), nil
}

func (sh *shard) scratch() []byte {
	if sh.buf == nil {
		sh.buf = make([]byte, 0, scratch)
	}
	return sh.buf[:0]
}

// next returns what is to be written, without waiting.
func (j *job) next() (Batch, verdict, error) {
	if !j.paged {
		return j.sub.poll()
	}
	j.shard.mu.Lock()
	b := j.mail.paged
	j.mail.paged = nil
	j.shard.mu.Unlock()
	return *b, doReturn, j.sub.ending()
}

// put writes b, which is then complete sooner or later. It reports false if
// the stream has to wait for that, or has ended.
func (sh *shard) put(st *Stream, b []byte) bool {
	if len(b) == 0 {
		return true
	}
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

// part is a piece of a batch as it is written: what goes before it, in the first head
// bytes of buf, and then its messages from one on up to another.
type part struct {
	buf            []byte
	head, from, to int
}

// write writes a batch, behind what is in buf, by as few writes as its size allows.
func (sh *shard) write(st *Stream, b *Batch, buf []byte) bool {
	buf, err := st.frames.AppendBatch(buf, st.sub, b)
	if err != nil {
		sh.end(st, err)
		return false
	}
	enc := st.frames.Encoding()
	p := part{head: len(buf)}
	for i, m := range b.Messages {
		at := len(buf)
		buf = m.AppendTo(buf, enc)
		if at == 0 || len(buf) <= scratch {
			continue
		}
		p.buf, p.to = buf[:at], i
		if !sh.putPart(st, b, p) {
			return false
		}
		buf = buf[:copy(buf, buf[at:])]
		p.head, p.from = 0, i
	}
	sh.keep(buf)
	p.buf, p.to = buf, len(b.Messages)
	return sh.putPart(st, b, p)
}

// keep keeps the scratch, unless it has grown large.
func (sh *shard) keep(buf []byte) {
	if cap(buf) <= 2*scratch {
		sh.buf = buf[:0]
	}
}

func (sh *shard) putPart(st *Stream, b *Batch, p part) bool {
	n, err := st.conn.TryWrite(p.buf)
	if err == nil && n == len(p.buf) {
		return true
	}
	sh.cut(st, b, p, n, err)
	return false
}

// cut goes on with a stream whose connection has taken n bytes only, or is
// lost. Only the frame that it took a part of is kept: the reader's position
// moves back to that frame's event.
func (sh *shard) cut(st *Stream, b *Batch, p part, n int, err error) {
	if err != nil {
		sh.end(st, goneBecause(err))
		return
	}
	end, pos := p.head, b.From // of what is complete once the rest is written
	if p.from > 0 {
		pos = b.Messages[p.from-1].ID
	}
	enc := st.frames.Encoding()
	for i := p.from; end <= n && i < p.to; i++ { // at a frame's edge the next one waits: something must
		end += len(b.Messages[i].Encoded(enc))
		pos = b.Messages[i].ID
	}
	st.sub.rewind(pos)
	sh.wait(st, p.buf[n:end])
}

// end takes a stream off its hub and tells its owner.
func (sh *shard) end(st *Stream, err error) {
	st.sub.release()
	st.leave()
	sh.remove(st)
	go st.ended(err)
}
