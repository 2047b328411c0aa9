package redisbroker

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// FuzzContent: what was written is read, and whatever somebody else wrote is an
// error or an event, and no more.
func FuzzContent(f *testing.F) {
	e := push.Event{
		Time: time.Unix(1, 2).UTC(), Name: "n", ContentType: "t", Key: "k", Idem: "i",
		Meta: map[string]string{"a": "1", "b": ""}, Data: []byte("data"),
	}
	f.Add(string(appendContent(nil, &e)))
	f.Add(string(appendContent(nil, &push.Event{Time: time.Unix(-1, 0).UTC()})))
	for _, s := range []string{"", "\x00", "\x01", "\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x02\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var e, again push.Event
		if parseContent(&e, s) != nil {
			return
		}
		if err := parseContent(&again, string(appendContent(nil, &e))); err != nil {
			t.Fatalf("%+v cannot be read again: %v", e, err)
		}
		if !e.Time.Equal(again.Time) || e.Name != again.Name || e.ContentType != again.ContentType || e.Key != again.Key ||
			e.Idem != again.Idem || string(e.Data) != string(again.Data) || !maps.Equal(e.Meta, again.Meta) {
			t.Fatalf("%+v is read again as %+v", e, again)
		}
	})
}

// FuzzPosition: of an entry's ID nothing is taken for a position that is none.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{"1-2", "18446744073709551615-4294967295", "", "-", "1", "1-4294967296", "1-2-3", "+1-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		seq, check, err := position(s)
		if err != nil {
			return
		}
		if a, b, err := position(fmt.Sprintf("%d-%d", seq, check)); err != nil || a != seq || b != check {
			t.Fatalf("%q is %d and %d, which is read as %d and %d: %v", s, seq, check, a, b, err)
		}
	})
}
