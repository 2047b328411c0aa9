package sse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

var testID = push.ID{Epoch: 1, Seq: 2, Check: 3}

func encode(enc *push.Encoding, e push.Event) string {
	e.ID, e.Topic, e.Time = testID, "t", time.UnixMilli(0)
	return string(push.NewMessage(e).Encoded(enc))
}

func TestRawFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		e    push.Event
		want string // after the id
	}{
		{"compact", push.Event{Name: "post", Data: []byte("hi")}, "event: post\ndata: hi\n\n"},
		{"no name", push.Event{Data: []byte("hi")}, "data: hi\n\n"},
		{"the default name", push.Event{Name: "message", Data: []byte("hi")}, "data: hi\n\n"},
		{"a name with leading space", push.Event{Name: " x", Data: []byte(" hi")}, "event:  x\ndata:  hi\n\n"},
		{"empty data is dispatched", push.Event{}, "data:\n\n"},
		{"LF", push.Event{Data: []byte("a\nb")}, "data: a\ndata: b\n\n"},
		{"CR", push.Event{Data: []byte("a\rb")}, "data: a\ndata: b\n\n"},
		{"CRLF", push.Event{Data: []byte("a\r\nb")}, "data: a\ndata: b\n\n"},
		{"LF CR", push.Event{Data: []byte("a\n\rb")}, "data: a\ndata:\ndata: b\n\n"},                   //nolint:dupword // as the stream has it
		{"line end at both ends", push.Event{Data: []byte("\r\na\r")}, "data:\ndata: a\ndata:\n\n"},    //nolint:dupword // as the stream has it
		{"a field in data", push.Event{Data: []byte("a\n\nid: 7")}, "data: a\ndata:\ndata: id: 7\n\n"}, //nolint:dupword // as the stream has it
		{"JSON in lines", push.Event{ContentType: "application/json", Data: []byte("{\n}")}, "data: {\ndata: }\n\n"},
		{"binary", push.Event{ContentType: "application/octet-stream", Data: []byte("a\n\xff")}, "data: YQr/\n\n"},
		{"binary by content", push.Event{Data: []byte{0xff}}, "data: /w==\n\n"},
		{"empty binary is dispatched", push.Event{ContentType: "image/png"}, "data: \n\n"},
	} {
		if got := encode(sse.Raw, c.e); got != "id: "+testID.String()+"\n"+c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestEnvelopeFrames(t *testing.T) {
	e := push.Event{Name: "post", ContentType: "application/json", Data: []byte("{\r\n}")}
	envelope := `{"id":"` + testID.String() + `","topic":"t","event":"post","type":"application/json","time":"1970-01-01T00:00:00.000Z","data":{  }}`
	if got, want := encode(sse.Envelope, e), "id: "+testID.String()+"\nevent: post\ndata: "+envelope+"\n\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := encode(sse.NDJSON, e); got != envelope+"\n" {
		t.Errorf("got  %q\nwant %q", got, envelope+"\n")
	}
}

func TestControlFrames(t *testing.T) {
	id := testID.String()
	end := wire.CloseData{Code: 1012, Reason: "x", Retry: 1500}
	for _, c := range []struct {
		f    sse.Format
		name string
		data any
		want string
	}{
		{sse.FormatRaw, wire.Heartbeat, nil, "id: " + id + "\nevent: push.heartbeat\ndata:\n\n"},
		{sse.FormatRaw, wire.Reply, nil, "id: " + id + "\nevent: push.reply\ndata: {}\n\n"},
		{sse.FormatRaw, wire.Close, end, "retry: 1500\nid: " + id + "\nevent: push.close\ndata: {\"code\":1012,\"reason\":\"x\",\"retry\":1500}\n\n"},
		{sse.FormatRaw, wire.Close, wire.CloseData{Code: 3003}, "id: " + id + "\nevent: push.close\ndata: {\"code\":3003,\"reason\":\"\"}\n\n"},
		{sse.FormatRaw, "push.expiring", end, "id: " + id + "\nevent: push.expiring\ndata: {\"code\":1012,\"reason\":\"x\",\"retry\":1500}\n\n"},
		{sse.FormatEnvelope, wire.Heartbeat, nil,
			"id: " + id + "\nevent: push.heartbeat\ndata: {\"id\":\"" + id + "\",\"event\":\"push.heartbeat\",\"data\":{}}\n\n"},
		{sse.FormatEnvelope, wire.Close, wire.CloseData{Code: 1012, Retry: 5},
			"retry: 5\nid: " + id + "\nevent: push.close\ndata: " +
				"{\"id\":\"" + id + "\",\"event\":\"push.close\",\"data\":{\"code\":1012,\"reason\":\"\",\"retry\":5}}\n\n"},
		{sse.FormatNDJSON, wire.Heartbeat, nil, "{\"id\":\"" + id + "\",\"event\":\"push.heartbeat\",\"data\":{}}\n"},
	} {
		got, err := c.f.AppendControl([]byte("x"), testID, c.name, c.data)
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%v %s: %v\ngot  %q\nwant %q", c.f, c.name, err, got, "x"+c.want)
		}
	}
}

// Encoding is paid once an event: one buffer, and its place in the list.
func TestEncodingAllocatesOneBuffer(t *testing.T) {
	e := push.Event{ID: testID, Name: "post", Topic: "t", Data: []byte(strings.Repeat("line\n", 100))}
	m := make([]*push.Message, 101)
	for i := range m {
		m[i] = push.NewMessage(e)
	}
	i := 0
	if n := testing.AllocsPerRun(100, func() { m[i].Encoded(sse.Raw); i++ }); n > 3 { // 2, but slices.Grow makes another under the race detector
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { m[0].Encoded(sse.Raw) }); n > 0 {
		t.Errorf("%v allocations for each further reader", n)
	}
}
