package ws_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/ws"
)

// An event of a batch is a publish action without its action: both are read
// alike.
func FuzzParseEvent(f *testing.F) {
	for _, s := range []string{
		`{"topic":"a","data":1}`, `{"topic":"a","event":"x","key":"k","idem":"i","type":"text/plain","data":"x"}`,
		`{"topic":"a","type":"image/png","encoding":"base64","data":"/w=="}`, `{"data":null}`, `{"topic":1}`, `[]`, `{}`, `{"data":`, `{"DATA":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ws.ParseEvent(b)
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil || members == nil {
			if err == nil {
				t.Fatalf("%q was read as an event", b)
			}
			return
		}
		for name := range members { // the action's own; names are read without regard to case
			if strings.EqualFold(name, "action") || strings.EqualFold(name, "ref") {
				return
			}
		}
		action := append([]byte(`{"action":"publish",`), bytes.TrimLeft(b, " \t\r\n")[1:]...)
		if len(members) == 0 {
			action = []byte(`{"action":"publish"}`)
		}
		a, actionErr := ws.ParseAction(action)
		if (err == nil) != (actionErr == nil) || err == nil && !reflect.DeepEqual(e, a.Event) {
			t.Errorf("%q: as an event %+v %v, as an action %+v %v", b, e, err, a.Event, actionErr)
		}
	})
}
