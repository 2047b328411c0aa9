package sse_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// FuzzDecode compares the decoder with a naive parser, and itself with itself
// reading byte by byte.
func FuzzDecode(f *testing.F) {
	f.Add("id: 1\nevent: e\ndata: x\nretry: 5\n\n: c\rdata\r\n\r\ndata: y", "0")
	f.Add("\xEF\xBB\xBFdata: \xe2\x82\n\nid: a\x00b\n\n", "")
	f.Fuzz(func(t *testing.T, stream, lastID string) {
		want := naiveParse(stream, lastID)
		for _, r := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream))} {
			d := sse.NewDecoder(strings.NewReader("id: "+lastID+"\n\n"), 0)
			_, _ = decodeAll(d)
			if d.LastEventID() != lastID {
				return // no id can be this
			}
			d.Reset(r)
			events, err := decodeAll(d)
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			got := naive{events, d.LastEventID(), d.Retry()}
			for i := range want.events {
				want.events[i].Data = append([]byte{}, want.events[i].Data...)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
		}
	})
}

// FuzzEncode publishes what a hub lets pass and reads it back (failures 23 and
// 24): whatever the bytes, they arrive as they are but for the line ends, and
// nothing in them becomes a field or an event of its own.
func FuzzEncode(f *testing.F) {
	f.Add("post", "text/plain", []byte("a\r\nb\rc\n\n\nid: 7\n\nevent: push.close"))
	f.Add(" x", "application/json", []byte("{\n\"a\":\r1}"))
	f.Add("", "application/octet-stream", []byte("\xff\x00\n"))
	f.Add("\uFEFF", "", []byte("\uFEFFdata: x"))
	f.Add("e", "text/plain; charset=latin1", []byte("\xe9"))
	f.Fuzz(func(t *testing.T, name, contentType string, data []byte) {
		e := push.Event{ID: testID, Topic: "t", Name: name, ContentType: contentType, Data: data, Time: time.UnixMilli(1)}
		if e.Check() != nil {
			return
		}
		m := push.NewMessage(e)
		if name == "" {
			name = "message"
		}
		for _, enc := range []*push.Encoding{sse.Raw, sse.Envelope} {
			stream := string(m.Encoded(enc))
			got := naiveParse(stream, "").events
			decoded, err := decodeAll(sse.NewDecoder(strings.NewReader(stream), 16<<20))
			if !errors.Is(err, io.EOF) || len(got) != 1 || len(decoded) != 1 || !reflect.DeepEqual(decoded[0], got[0]) {
				t.Fatalf("%q: %+v, %+v, %v", stream, got, decoded, err)
			}
			if got[0].ID != testID.String() || got[0].Name != name {
				t.Fatalf("%q: %+v", stream, got[0])
			}
			checkPayload(t, enc, &e, got[0].Data)
		}
		if line := m.Encoded(sse.NDJSON); bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q", line)
		}
	})
}

func checkPayload(t *testing.T, enc *push.Encoding, e *push.Event, got []byte) {
	t.Helper()
	want := string(e.Data)
	switch {
	case enc == sse.Envelope:
		back, err := wire.ParseEvent(got)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		got = back.Data
		if e.Kind() == push.KindJSON {
			want, got = squeeze(want), []byte(squeeze(string(got)))
		}
	case e.Kind() == push.KindBinary:
		raw, err := base64.StdEncoding.DecodeString(string(got))
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		got = raw
	default:
		want = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(want)
	}
	if string(got) != want {
		t.Fatalf("%v: got %q, want %q", enc, got, want)
	}
}

// squeeze removes the white space around and between the tokens of JSON
// roughly: of strings, too, but the same everywhere.
func squeeze(s string) string { return strings.NewReplacer(" ", "", "\n", "", "\r", "").Replace(s) }

// Failures 23 and 24: what could break a frame never gets into the log.
func TestNamesAndTextThatBreakFramesAreRefusedAtPublish(t *testing.T) {
	hub := push.New()
	for _, e := range []push.Event{
		{Name: "a\nb"}, {Name: "a\rb"}, {Name: "a\x00b"}, {Name: "\xff"}, {Name: "push.close"}, {Name: "open"}, {Name: "error"},
		{Topic: "a\nb"}, {ContentType: "text/plain", Data: []byte{0xff}}, {ContentType: "application/json", Data: []byte("{\xff}")},
	} {
		if e.Topic == "" {
			e.Topic = "t"
		}
		if _, err := hub.Publish(t.Context(), e); err == nil {
			t.Errorf("%+v was published", e)
		}
	}
}
