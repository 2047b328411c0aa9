package poll_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHub returns a hub over a memory broker with a retention for all topics.
func newHub(t testing.TB, r push.Retention) *push.Hub {
	t.Helper()
	hub := push.NewHub(push.NewMemory(push.Rules(push.Rule{Pattern: "**", Retention: r})))
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = hub.Shutdown(ctx)
	})
	return hub
}

// publish publishes the numbers of [from, to) as events of a topic.
func publish(t testing.TB, hub *push.Hub, topic string, from, to int) []push.ID {
	t.Helper()
	var ids []push.ID
	for i := from; i < to; i++ {
		id, err := hub.Publish(context.Background(), push.Event{Topic: topic, Data: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id...)
	}
	return ids
}

func read(t testing.TB, hub *push.Hub, q poll.Query) *poll.Page {
	t.Helper()
	p, err := poll.ReadPage(context.Background(), hub, q)
	if err != nil {
		t.Fatalf("ReadPage(%+v): %v", q, err)
	}
	return p
}

func texts(p *poll.Page) []string {
	data := []string{}
	for _, m := range p.Items {
		data = append(data, string(m.Data))
	}
	return data
}

func numbers(from, to int) []string {
	s := []string{}
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

// onWire is a page as a client decodes it.
type onWire struct {
	Items []struct {
		ID    string `json:"id"`
		Topic string `json:"topic"`
		Event string `json:"event"`
		Data  any    `json:"data"`
	} `json:"items"`
	Gap *struct {
		From, To, Reason string
		Topics           []string
	} `json:"gap"`
	First string `json:"first"`
	Last  string `json:"last"`
}

func decode(t testing.TB, b []byte) (p onWire) {
	t.Helper()
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatalf("the page is no JSON: %v\n%s", err, b)
	}
	return p
}
