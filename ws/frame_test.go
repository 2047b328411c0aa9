package ws_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/ws"
)

// parseAll reads all frames of b.
func parseAll(t testing.TB, b []byte) (frames []frame) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(b))
	for {
		f, err := parse(r)
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatalf("%.80q: %v", b, err)
		}
		frames = append(frames, f)
	}
}

func TestFrameLengthsAtTheEdges(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537} {
		m := push.NewMessage(push.Event{Topic: "a", Data: []byte(strings.Repeat("x", n))})
		fs := parseAll(t, m.Encoded(ws.PlainFrames))
		if len(fs) != 1 || fs[0].op != opText || len(fs[0].payload) != n {
			t.Errorf("%d bytes: %d frames", n, len(fs))
		}
		fs = parseAll(t, m.Encoded(ws.EnvelopeFrames))
		if len(fs) != 1 || !bytes.Equal(fs[0].payload, wire.AppendEvent(nil, &m.Event)) {
			t.Errorf("%d bytes: envelope %.80q", n, fs[0].payload)
		}
	}
}

// The log keeps a frame as long as its event.
func TestFramesDoNotWasteMemory(t *testing.T) {
	for _, data := range []string{"x", strings.Repeat("x", 1500), strings.Repeat("x", 5000), strings.Repeat("\xFF", 5000)} {
		m := push.NewMessage(push.Event{Topic: "a", Name: "post", Data: []byte(data)})
		for _, enc := range []*push.Encoding{ws.PlainFrames, ws.EnvelopeFrames} {
			if b := m.Encoded(enc); cap(b) > len(b)+len(b)/8+150 {
				t.Errorf("%s: %d bytes in %d", enc, len(b), cap(b))
			}
		}
	}
}

// A broker may hold what nobody has checked; a client would have to close at it.
func TestTextThatIsNoUTF8GoesOutAsBinary(t *testing.T) {
	m := push.NewMessage(push.Event{Topic: "a", ContentType: "text/plain", Data: []byte("\xC0")})
	if fs := parseAll(t, m.Encoded(ws.PlainFrames)); fs[0].op != opBinary || string(fs[0].payload) != "\xC0" {
		t.Errorf("%v", fs)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add("a", "post", "application/json", []byte(`{"a":1}`))
	f.Add("a/b", "", "", []byte("\xFF"))
	f.Add("é", "n", "text/plain", bytes.Repeat([]byte("x"), 66_000))
	f.Fuzz(func(t *testing.T, topic, name, contentType string, data []byte) {
		e := push.Event{Topic: topic, Name: name, ContentType: contentType, Data: data}
		if e.Check() != nil {
			return
		}
		m := push.NewMessage(e)
		fs := parseAll(t, m.Encoded(ws.PlainFrames))
		if len(fs) != 1 || !bytes.Equal(fs[0].payload, data) || (fs[0].op == opBinary) != (e.Kind() == push.KindBinary) {
			t.Fatalf("plain: %v", fs)
		}
		fs = parseAll(t, m.Encoded(ws.EnvelopeFrames))
		if len(fs) != 1 || fs[0].op != opText || !bytes.Equal(fs[0].payload, wire.AppendEvent(nil, &e)) {
			t.Fatalf("envelope: %v", fs)
		}
	})
}

func FuzzCloseFrame(f *testing.F) {
	f.Add(1012, "the server is restarting")
	f.Add(1005, strings.Repeat("é", 200))
	f.Add(-1, "\xFF\xE2\x82")
	f.Fuzz(func(t *testing.T, code int, reason string) {
		fs := parseAll(t, ws.CloseFrame(code, reason))
		if len(fs) != 1 || fs[0].op != opClose || len(fs[0].payload) < 2 || !utf8.Valid(fs[0].payload[2:]) {
			t.Fatalf("%v", fs)
		}
		switch sent := int(binary.BigEndian.Uint16(fs[0].payload)); {
		case sent < 1000, 1004 <= sent && sent <= 1006, 1014 < sent && sent < 3000, sent > 4999:
			t.Fatalf("code %d", sent)
		}
		if utf8.ValidString(reason) && !strings.HasPrefix(reason, string(fs[0].payload[2:])) {
			t.Fatalf("reason %q became %q", reason, fs[0].payload[2:])
		}
	})
}
