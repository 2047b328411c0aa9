package redisbroker

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// contentVersion begins the content of every entry of this format.
const contentVersion = 1

var errContent = errors.New("redisbroker: an entry's content is not of a version that this process knows: update it, or does something else write to its keys?")

// appendContent appends all of an event that its entry does not say otherwise.
func appendContent(dst []byte, e *push.Event) []byte {
	dst = append(dst, contentVersion)
	t := e.Time
	dst = binary.AppendVarint(dst, t.Unix())
	dst = binary.AppendUvarint(dst, uint64(t.Nanosecond()))
	for _, s := range []string{e.Name, e.ContentType, e.Key, e.Idem} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Meta)))
	for k, v := range e.Meta {
		dst = appendString(appendString(dst, k), v)
	}
	return append(dst, e.Data...)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// content is a reader of what appendContent made.
type content struct {
	rest string
	bad  bool
}

// parseContent fills e with what appendContent made. It copies nothing but Data.
func parseContent(e *push.Event, s string) error {
	if s == "" || s[0] != contentVersion {
		return errContent
	}
	c := content{rest: s[1:]}
	e.Time = c.time()
	e.Name, e.ContentType, e.Key, e.Idem = c.string(), c.string(), c.string(), c.string()
	if n := c.uint(); n > uint64(len(c.rest)) {
		c.bad = true
	} else if n > 0 {
		e.Meta = make(map[string]string, n)
		for range n {
			k := c.string()
			e.Meta[k] = c.string()
		}
	}
	if c.bad {
		return errContent
	}
	e.Data = []byte(c.rest)
	return nil
}

// varint reads a number with one of binary's functions.
func varint[N int64 | uint64](c *content, read func([]byte) (N, int)) N {
	head := c.rest[:min(len(c.rest), binary.MaxVarintLen64)]
	v, n := read([]byte(head))
	if n <= 0 {
		c.bad, n = true, 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *content) uint() uint64 { return varint(c, binary.Uvarint) }

func (c *content) time() time.Time {
	sec := varint(c, binary.Varint)
	ns := c.uint()
	if ns >= 1e9 {
		c.bad = true
		return time.Time{}
	}
	return time.Unix(sec, int64(ns)).UTC()
}

func (c *content) string() string {
	n := c.uint()
	if n > uint64(len(c.rest)) {
		c.bad, c.rest = true, ""
		return ""
	}
	s := c.rest[:n]
	c.rest = c.rest[n:]
	return strings.Clone(s)
}

func sortEvents(events []push.Event) {
	slices.SortFunc(events, func(a, b push.Event) int { return cmp.Compare(a.ID.Seq, b.ID.Seq) })
}
