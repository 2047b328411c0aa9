package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

var (
	someTime = time.Date(2026, 2, 3, 4, 5, 6, 7_999_999, time.FixedZone("", 3600))
	someID   = push.ID{Epoch: 2, Seq: 1, Check: 3}
)

func TestAnEventAsAnEnvelope(t *testing.T) {
	const head = `{"id":"a1.AAAAAAAAAAIAAAAD","topic":"a/b","event":`
	for want, e := range map[string]push.Event{
		head + `"message","type":"text/plain; charset=utf-8","time":"2026-02-03T03:05:06.007Z","data":"hi"}`:                      {Data: []byte("hi")},
		head + `"post","type":"application/json","time":"2026-02-03T03:05:06.007Z","data":{"a" :  [1]}}`:                          {Name: "post", ContentType: "application/json", Data: []byte("{\"a\" :\r\n[1]}")},
		head + `"message","type":"application/x+json","time":"2026-02-03T03:05:06.007Z","data":null}`:                             {ContentType: "application/x+json", Data: []byte("null")},
		head + `"message","type":"text/html","time":"2026-02-03T03:05:06.007Z","data":"<b>\n\"\\\u0000é\u2028"}`:                  {ContentType: "text/html", Data: []byte("<b>\n\"\\\x00é\u2028")},
		head + `"message","type":"application/octet-stream","time":"2026-02-03T03:05:06.007Z","encoding":"base64","data":"/wA="}`: {Data: []byte{0xff, 0}},
		head + `"message","type":"image/png","time":"2026-02-03T03:05:06.007Z","encoding":"base64","data":""}`:                    {ContentType: "image/png"},
		head + `"x\ty","type":"text/plain; charset=utf-8","time":"2026-02-03T03:05:06.007Z","data":""}`:                           {Name: "x\ty"},
	} {
		e.ID, e.Topic, e.Time = someID, "a/b", someTime
		want = strings.ReplaceAll(want, `\u2028`, "\u2028")
		if got := string(wire.AppendEvent([]byte("> "), &e)); got != "> "+want {
			t.Errorf("got  %s\nwant > %s", got, want)
		}
		if got := string(push.NewMessage(e).Encoded(wire.JSON)); got != want {
			t.Errorf("Encoded: got %s", got)
		}
	}
}

func TestWhatIsNoEnvelopeOfAnEvent(t *testing.T) {
	e := push.Event{ID: someID, Topic: "a", Time: someTime, Data: []byte("\xff")}
	good := string(wire.AppendEvent(nil, &e))
	for what, s := range map[string]string{
		"nothing":      "",
		"no JSON":      good[1:],
		"a bad cursor": strings.Replace(good, "a1.", "b1.", 1),
		"no cursor":    `{"event":"push.open","data":{}}`,
		"a bad time":   strings.Replace(good, "2026-", "26-", 1),
		"a number":     strings.Replace(good, `"/w=="`, "1", 1),
		"no base64":    strings.Replace(good, "/w==", "/w", 1),
	} {
		if e, err := wire.ParseEvent([]byte(s)); err == nil {
			t.Errorf("%s reads as %+v", what, e)
		}
	}
}

// I6: what comes out of an envelope is what went in, whatever it is, and an
// envelope is one line of valid JSON.
func FuzzEnvelope(f *testing.F) {
	f.Add("a", "", "", []byte("hi"), uint64(1), int64(0))
	f.Add("a/b", "post", "application/json", []byte("{\"a\":\r\n[1, null, \"\u2028\"]}"), uint64(2), int64(1e15))
	f.Add("ü", "x", "image/png", []byte("\x00\xff\r\n"), uint64(3), int64(-1))
	f.Add("a", "x\ty", "text/plain; charset=utf-16", []byte("\xfe\xff"), uint64(4), int64(253402300799999))
	f.Fuzz(func(t *testing.T, topic, name, contentType string, data []byte, seq uint64, ms int64) {
		const firstYear, lastYear = -62167219200000, 253402300799999 // 0 to 9999, RFC 3339
		in := push.Event{
			ID: push.ID{Epoch: ^seq, Seq: seq, Check: uint32(seq)}, Topic: topic, Name: name, ContentType: contentType, Data: data,
			Time: time.UnixMilli(max(firstYear, min(ms, lastYear))).UTC(),
		}
		if in.Check() != nil {
			return
		}
		b := wire.AppendEvent(nil, &in)
		if bytes.ContainsAny(b, "\r\n") || !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("%+v is %q: not one line of valid JSON", in, b)
		}
		var env wire.Envelope
		if err := json.Unmarshal(b, &env); err != nil {
			t.Fatal(err)
		}
		if env.ID != in.ID.String() || env.Topic != topic || env.Event != wire.EventName(&in) || env.Type != in.MediaType() {
			t.Fatalf("%+v became %+v", in, env)
		}
		sameData(t, &in, &env)
		out, err := wire.ParseEvent(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if in.Name == "message" {
			in.Name = ""
		}
		if out.ID != in.ID || out.Topic != in.Topic || out.Name != in.Name || out.ContentType != in.MediaType() || !out.Time.Equal(in.Time) || out.Kind() != in.Kind() {
			t.Fatalf("%+v came back as %+v", in, out)
		}
		if in.Kind() != push.KindJSON && !bytes.Equal(out.Data, in.Data) {
			t.Fatalf("data %q came back as %q", in.Data, out.Data)
		}
	})
}

// sameData reads the data of an envelope with encoding/json alone.
func sameData(t *testing.T, in *push.Event, env *wire.Envelope) {
	t.Helper()
	var got []byte
	var s string
	switch {
	case in.Kind() == push.KindJSON:
		var want, have bytes.Buffer
		if json.Compact(&want, in.Data) != nil || json.Compact(&have, env.Data) != nil || !bytes.Equal(want.Bytes(), have.Bytes()) {
			t.Fatalf("JSON %q became %q", in.Data, env.Data)
		}
		return
	case json.Unmarshal(env.Data, &s) != nil:
		t.Fatalf("the data of %+v is %s", in, env.Data)
	case env.Encoding == "base64":
		got, _ = base64.StdEncoding.DecodeString(s)
	default:
		got = []byte(s)
	}
	if !bytes.Equal(got, in.Data) || (env.Encoding == "base64") != (in.Kind() == push.KindBinary) {
		t.Fatalf("data %q became %q, encoding %q", in.Data, got, env.Encoding)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é\u2028\U0001f600", "\xff\xc3(\xed\xa0\x80", "a\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := wire.AppendString([]byte("x"), s)
		reference, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		if err := json.Unmarshal(b[1:], &got); err != nil {
			t.Fatalf("%q is %s: %v", s, b[1:], err)
		}
		if err := json.Unmarshal(reference, &want); err != nil {
			t.Fatal(err)
		}
		if b[0] != 'x' || got != want || bytes.ContainsAny(b, "\r\n\x00") || !utf8.Valid(b) {
			t.Fatalf("%q is %s, which reads as %q; encoding/json makes %s", s, b[1:], got, reference)
		}
	})
}
