package sse_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dualpush-go/dualpush/sse"
)

// decodeAll reads a stream to its end.
func decodeAll(d *sse.Decoder) (events []sse.Event, err error) {
	for {
		ev, err := d.Next()
		if err != nil {
			return events, err
		}
		ev.Data = append([]byte{}, ev.Data...)
		events = append(events, ev)
	}
}

func TestDecoderFollowsTheStandard(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		want   string // ID|Name|Data of each event, then the last id and retry
	}{
		"one event":                        {"data: x\n\n", "[|message|x] 0s"},
		"all fields":                       {"id: 1\nevent: e\ndata: x\nretry: 5\n\n", "[1|e|x] 1 5ms"},
		"CR ends lines":                    {"data: x\rid: 1\r\r", "[1|message|x] 1 0s"},
		"CRLF ends lines":                  {"data: x\r\nid: 1\r\n\r\n", "[1|message|x] 1 0s"},
		"CR LF LF is two ends":             {"data: x\r\n\n", "[|message|x] 0s"}, //nolint:dupword // as the stream has it
		"LF CR is two ends":                {"data: x\n\r", "[|message|x] 0s"},
		"byte order mark":                  {"\uFEFFdata: x\n\n", "[|message|x] 0s"},
		"only one byte order mark":         {"\uFEFF\uFEFFdata: x\n\n", " 0s"},
		"no mark later":                    {"\n\uFEFFdata: x\n\n", " 0s"},
		"one leading space goes":           {"data:  x \ndata:y\n\n", "[|message| x \ny] 0s"},
		"comments":                         {": c\n:\ndata: x\n:\n\n", "[|message|x] 0s"},
		"unknown fields":                   {"foo: 1\ndat: x\nDATA: x\n data: x\ndata : x\n\n", " 0s"},
		"a field without a colon is empty": {"data\n\nid: 1\ndata\ndata\n\n", "[|message|][1|message|\n] 1 0s"}, //nolint:dupword // as the stream has it
		"colons in values":                 {"data: a: b:\n\n", "[|message|a: b:] 0s"},
		"an id without data holds":         {"id: 1\n\ndata: x\n\n", "[1|message|x] 1 0s"},
		"an id lasts":                      {"id: 1\ndata: x\n\ndata: y\n\n", "[1|message|x][1|message|y] 1 0s"},
		"an empty id resets":               {"id: 1\ndata: x\n\nid\ndata: y\n\n", "[1|message|x][|message|y] 0s"},
		"an id with NUL is ignored":        {"id: 1\nid: 2\x00\ndata: x\n\n", "[1|message|x] 1 0s"},
		"a name does not last":             {"event: e\n\ndata: x\n\n", "[|message|x] 0s"},
		"the last name wins":               {"event: e\nevent: f\ndata: x\nevent:\n\n", "[|message|x] 0s"},
		"retry of digits only":             {"retry: 5\nretry: 6s\nretry: -1\nretry: 1e3\nretry:\nretry:  7\n\n", " 5ms"}, //nolint:dupword // as the stream has it
		"retry without an event":           {"retry: 012\n", " 12ms"},
		"retry beyond measure":             {"retry: 99999999999999999999\n", " 2562047h47m16.854s"},
		"no event without its empty line":  {"id: 1\ndata: x\n", " 0s"},
		"no event in a cut line":           {"data: x\n\nid: 1\ndata: y", "[|message|x] 0s"},
		"not UTF-8":                        {"data: \xff\xe2\x82\xf0\x9f\x98x\n\n", "[|message|\uFFFD\uFFFD\uFFFDx] 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, wrap := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
			} {
				d := sse.NewDecoder(wrap(strings.NewReader(c.stream)), 0)
				events, err := decodeAll(d)
				var b strings.Builder
				for _, ev := range events {
					fmt.Fprintf(&b, "[%s|%s|%s]", ev.ID, ev.Name, ev.Data)
				}
				got := b.String() + " " + strings.TrimPrefix(fmt.Sprint(d.LastEventID(), " ", d.Retry()), " ")
				if !errors.Is(err, io.EOF) || got != c.want {
					t.Errorf("%s: %v\ngot  %q\nwant %q", kind, err, got, c.want)
				}
			}
		})
	}
}

// A stream whose lines end with CR must not wait for the next byte to see
// whether it is LF.
func TestCRDispatchesAtOnce(t *testing.T) {
	r, w := io.Pipe()
	defer func() { _ = r.Close() }()
	go func() { _, _ = w.Write([]byte("data: x\r\r")) }()
	if ev, err := sse.NewDecoder(r, 0).Next(); err != nil || string(ev.Data) != "x" {
		t.Error(ev, err)
	}
}

func TestDecoderIsBounded(t *testing.T) {
	for _, limit := range []int{10, 5000} {
		for name, c := range map[string]struct {
			stream string
			ok     bool
		}{
			"data at the limit":    {"data: " + strings.Repeat("x", limit) + "\n\n", true},
			"data above":           {"data: " + strings.Repeat("x", limit+1) + "\n\n", false},
			"data in lines":        {strings.Repeat("data: xxxx\n", limit/5) + "\n", true},
			"data in lines, above": {strings.Repeat("data: xxxx\n", limit/5+2) + "\n", false},
			"comment":              {":" + strings.Repeat("x", 2*limit) + "\ndata: x\n\n", false},
			"endless line":         {strings.Repeat("x", 1<<20), false},
		} {
			d := sse.NewDecoder(strings.NewReader(c.stream+"data: later\n\n"), limit)
			_, err := d.Next()
			if c.ok != (err == nil) || !c.ok && !errors.Is(err, sse.ErrTooLong) {
				t.Errorf("limit %d, %s: %v", limit, name, err)
			}
			if _, again := d.Next(); !c.ok && !errors.Is(again, err) {
				t.Errorf("limit %d, %s: then %v", limit, name, again)
			}
		}
	}
}

func TestResetKeepsWhatAReconnectNeeds(t *testing.T) {
	d := sse.NewDecoder(strings.NewReader("retry: 7\nid: 1\ndata: x\n\nid: 2\ndata: cut"), 0)
	_, _ = decodeAll(d)
	d.Reset(strings.NewReader("\uFEFFdata: y\n\n"))
	events, err := decodeAll(d)
	want := []sse.Event{{ID: "1", Name: "message", Data: []byte("y"), Retry: 7 * time.Millisecond}}
	if !errors.Is(err, io.EOF) || !reflect.DeepEqual(events, want) {
		t.Errorf("%v %+v", err, events)
	}
}

func TestReadersErrorIsReturned(t *testing.T) {
	boom := errors.New("boom")
	d := sse.NewDecoder(io.MultiReader(strings.NewReader("data: x\n\ndata: y\n"), iotest.ErrReader(boom)), 0)
	if events, err := decodeAll(d); !errors.Is(err, boom) || len(events) != 1 {
		t.Error(events, err)
	}
}

func TestReaderThatNeverProgressesIsGivenUp(t *testing.T) {
	d := sse.NewDecoder(readerFunc(func([]byte) (int, error) { return 0, nil }), 0)
	if _, err := d.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// One string for each new id; nothing else.
func TestDecodingAllocatesTheIDOnly(t *testing.T) {
	stream := strings.Repeat("id: a\nevent: e\ndata: x\n\nid: b\nevent: e\ndata: y\n\n", 1000)
	d := sse.NewDecoder(strings.NewReader(stream), 0)
	_, _ = d.Next()
	if n := testing.AllocsPerRun(500, func() { _, _ = d.Next() }); n > 1 {
		t.Errorf("%v allocations an event", n)
	}
}
