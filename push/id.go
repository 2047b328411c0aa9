package push

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// ID is a position in a broker's log, and the cursor that clients carry: an
// SSE id, the id of an envelope, the after of a poll. It names the event with
// that sequence; what comes after it is what a reader at it has not seen yet.
//
// Epochs compare for equality only. A Check of 0 means that the check is not
// known; then the epoch alone decides.
type ID struct {
	Epoch uint64 // which log; another one after a log was lost
	Seq   uint64 // 1, 2, …; 0 is before the first event
	Check uint32 // guards against a log that lost its tail and reused sequences
}

// MaxCursorLen is the longest cursor that is looked at, in bytes.
const MaxCursorLen = 64

// cursorVersion starts every cursor of this format, so that another format
// can live beside it during a rolling deploy.
const cursorVersion = 'a'

// IsZero reports whether id is the zero ID, which lies before every event.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the cursor: at most 38 bytes of [A-Za-z0-9_.-].
func (id ID) String() string { return string(id.Append(nil)) }

// Append appends the cursor to dst.
func (id ID) Append(dst []byte) []byte {
	var raw [12]byte
	binary.BigEndian.PutUint64(raw[:], id.Epoch)
	binary.BigEndian.PutUint32(raw[8:], id.Check)
	dst = append(dst, cursorVersion)
	dst = strconv.AppendUint(dst, id.Seq, 10)
	dst = append(dst, '.')
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// ParseID parses a cursor. It takes constant time and memory for any input,
// and accepts exactly what String makes; anything else is ErrCursor.
func ParseID(s string) (ID, error) {
	if len(s) > MaxCursorLen || len(s) < 19 || s[0] != cursorVersion {
		return ID{}, ErrCursor
	}
	dot := len(s) - 17
	seq, err := strconv.ParseUint(s[1:dot], 10, 64)
	if err != nil || s[dot] != '.' {
		return ID{}, ErrCursor
	}
	var raw [12]byte
	if _, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(s[dot+1:])); err != nil {
		return ID{}, ErrCursor
	}
	id := ID{binary.BigEndian.Uint64(raw[:]), seq, binary.BigEndian.Uint32(raw[8:])}
	var canonical [MaxCursorLen]byte
	if string(id.Append(canonical[:0])) != s {
		return ID{}, ErrCursor
	}
	return id, nil
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return id.Append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}
