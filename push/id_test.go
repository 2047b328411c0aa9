package push_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/push"
)

var cursorText = regexp.MustCompile(`^[A-Za-z0-9_.-]{19,38}$`)

func TestACursorReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := push.ID{Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64().Draw(t, "seq"), Check: rapid.Uint32().Draw(t, "check")}
		s := id.String()
		if !cursorText.MatchString(s) {
			t.Fatalf("%+v is %q", id, s)
		}
		if got, err := push.ParseID(s); err != nil || got != id {
			t.Fatalf("%q reads as %+v, %v; want %+v", s, got, err, id)
		}
		if got := string(id.Append([]byte("after="))); got != "after="+s {
			t.Fatalf("Append made %q", got)
		}
	})
}

func TestCursorsAreStable(t *testing.T) { // clients keep them over a deploy
	for want, id := range map[string]push.ID{
		"a0.AAAAAAAAAAAAAAAA":                    {},
		"a1.AAAAAAAAAAIAAAAD":                    {Epoch: 2, Seq: 1, Check: 3},
		"a18446744073709551615.________________": {Epoch: 1<<64 - 1, Seq: 1<<64 - 1, Check: 1<<32 - 1},
	} {
		if got := id.String(); got != want {
			t.Errorf("%+v is %q, want %q", id, got, want)
		}
	}
	if !(push.ID{}).IsZero() || (push.ID{Epoch: 1}).IsZero() || (push.ID{Check: 1}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestACursorInJSON(t *testing.T) {
	in := struct{ ID push.ID }{push.ID{Epoch: 2, Seq: 1, Check: 3}}
	b, err := json.Marshal(in)
	if err != nil || string(b) != `{"ID":"a1.AAAAAAAAAAIAAAAD"}` {
		t.Errorf("it is %s, %v", b, err)
	}
	out := in
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("it reads as %+v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"ID":"x"}`), &out); !errors.Is(err, push.ErrCursor) {
		t.Errorf("a bad one: %v", err)
	}
}

func TestABadCursorIsRefusedInConstantTime(t *testing.T) {
	good := push.ID{Epoch: 2, Seq: 1, Check: 3}.String()
	huge := strings.Repeat("1", 1<<20)
	for _, s := range []string{
		"", "0", "a", "b" + good[1:], good + "=", good[:len(good)-1], " " + good, good + "\n", strings.Replace(good, "1", "01", 1),
		strings.Replace(good, "1", "+1", 1), strings.Replace(good, "1", "18446744073709551616", 1), strings.Replace(good, "1.", ".", 1),
		good[:10] + "\x00" + good[11:], good[:10] + "\n" + good[11:], "a" + huge, good[:18] + "/", "a1.AAAAAAAAAAIAAAA\xff",
	} {
		if id, err := push.ParseID(s); !errors.Is(err, push.ErrCursor) || !id.IsZero() {
			t.Errorf("%.40q reads as %+v, %v", s, id, err)
		}
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = push.ParseID("a" + huge) }); n > 1 { // one for the argument
		t.Errorf("a huge cursor costs %v allocations", n)
	}
}

// Failure 20: no text of any kind makes ParseID panic, and it takes exactly
// what String makes.
func FuzzParseID(f *testing.F) {
	for _, id := range []push.ID{{}, {Epoch: 2, Seq: 1, Check: 3}, {Epoch: 1<<64 - 1, Seq: 1<<64 - 1, Check: 1<<32 - 1}} {
		f.Add(id.String())
	}
	f.Add("a01.AAAAAAAAAAIAAAAD")
	f.Add("a1.AAAAAAA\nAAIAAAAD")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := push.ParseID(s)
		if err == nil && id.String() != s {
			t.Fatalf("%q reads as %+v, which is %q", s, id, id.String())
		}
		if err != nil && (err != push.ErrCursor || !id.IsZero()) {
			t.Fatalf("%q: %+v, %v", s, id, err)
		}
		text, _ := id.MarshalText()
		var again push.ID
		if err := again.UnmarshalText(text); err != nil || again != id {
			t.Fatalf("%+v does not survive its text %q: %v", id, text, err)
		}
		if len(s) > push.MaxCursorLen && err == nil || strings.ContainsAny(s, "\r\n\x00") && err == nil {
			t.Fatalf("%q is taken", s)
		}
	})
}
