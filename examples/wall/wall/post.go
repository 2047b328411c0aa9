package wall

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
)

// maxPost is how long a post may be, in Unicode code points.
const maxPost = 280

type post struct {
	Text string `json:"text"`
}

// checkPost is the inbound handler of the wall: it lets posts through, trimmed.
func checkPost(_ context.Context, in *push.Inbound) error {
	if in.Event.Name == "" { // of a plain WebSocket message, which has no name
		in.Event.Name = "post"
	}
	if in.Event.Name != "post" {
		return push.Refuse(`the wall takes events named "post" only, and this one is named %q: set Push-Event: post`, in.Event.Name)
	}
	if in.Event.Kind() != push.KindJSON {
		return push.Refuse(`a post is JSON {"text": "…"}: set Content-Type: application/json`)
	}
	var p post
	dec := json.NewDecoder(bytes.NewReader(in.Event.Data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return push.Refuse(`a post is JSON {"text": "…"} and nothing else`)
	}
	p.Text = strings.TrimSpace(p.Text)
	switch n := utf8.RuneCountInString(p.Text); {
	case n == 0:
		return push.Refuse("a post needs some text")
	case n > maxPost:
		return push.Refuse("a post has at most %d characters, and this one has %d", maxPost, n)
	}
	data, err := json.Marshal(p)
	in.Event.Data = data
	return err
}

// refuseCounts keeps the numbers of visitors true.
func refuseCounts(context.Context, *push.Inbound) error {
	return push.Refuse("only the wall itself counts its visitors")
}
