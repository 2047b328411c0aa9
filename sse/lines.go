package sse

import (
	"bytes"
	"io"
	"unicode/utf8"
)

const (
	minBuffer = 4 << 10
	fieldRoom = 8 // a line may be longer than the limit by a field's name
)

var byteOrderMark = []byte("\xEF\xBB\xBF")

// line returns the next line without its end, decoded. A line that the stream
// does not end is none. A CR ends a line at once: the LF that may follow is
// skipped when it comes.
func (d *Decoder) line() ([]byte, error) {
	for {
		if d.skipLF && d.off < d.end {
			d.skipLF = false
			if d.buf[d.off] == '\n' {
				d.off++
			}
			d.seen = d.off
		}
		i := endOfLine(d.buf[d.seen:d.end])
		if i < 0 {
			d.seen = d.end
		} else {
			d.seen += i
		}
		if d.seen-d.off > d.limit+fieldRoom {
			return nil, d.tooLong()
		}
		if i >= 0 {
			return d.cut(d.seen), nil
		}
		if d.err != nil {
			return nil, d.err
		}
		d.fill()
	}
}

func endOfLine(b []byte) int {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			return i
		}
	}
	return -1
}

// cut takes the line that ends at i.
func (d *Decoder) cut(i int) []byte {
	line := d.buf[d.off:i]
	d.skipLF = d.buf[i] == '\r'
	d.off, d.seen = i+1, i+1
	if !d.begun {
		d.begun = true
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	if !utf8.Valid(line) {
		line = replaceInvalid(line)
	}
	return line
}

// fill reads once, into a buffer that has room.
func (d *Decoder) fill() {
	if d.off > 0 {
		d.end = copy(d.buf, d.buf[d.off:d.end])
		d.off, d.seen = 0, d.end
	}
	if d.end == len(d.buf) {
		bigger := make([]byte, min(max(2*len(d.buf), minBuffer), max(d.limit, minBuffer)+2*fieldRoom))
		copy(bigger, d.buf[:d.end])
		d.buf = bigger
	}
	for range 100 {
		n, err := d.r.Read(d.buf[d.end:])
		d.end += n
		d.err = err
		if n > 0 || err != nil {
			return
		}
	}
	d.err = io.ErrNoProgress
}

// replaceInvalid decodes as the WHATWG Encoding standard does: each longest
// prefix of a sequence that is no character becomes one U+FFFD.
func replaceInvalid(b []byte) []byte {
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = invalidPrefix(b)
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return out
}

// invalidPrefix returns how many bytes at the start of b, which is no
// character, could have begun one (Unicode 3.9, "maximal subpart").
func invalidPrefix(b []byte) int {
	need, lo, hi := 0, byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case 0xC2 <= c && c <= 0xDF:
		need = 1
	case 0xE0 <= c && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			lo = 0xA0
		}
		if c == 0xED {
			hi = 0x9F
		}
	case 0xF0 <= c && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			lo = 0x90
		}
		if c == 0xF4 {
			hi = 0x8F
		}
	}
	n := 1
	for ; n <= need && n < len(b) && lo <= b[n] && b[n] <= hi; n++ {
		lo, hi = 0x80, 0xBF
	}
	return n
}
