package push_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

func Example() {
	ctx := context.Background()
	hub := push.New()
	sub, err := hub.Subscribe(ctx, []string{"wall", "news/**"}, push.FromHead())
	if err != nil {
		panic(err)
	}
	defer sub.Close()

	for _, e := range []push.Event{
		{Topic: "wall", Data: []byte("hello")},
		{Topic: "elsewhere", Data: []byte("not for us")},
		{Topic: "news/sports", Data: []byte("two nil")},
	} {
		if _, err := hub.Publish(ctx, e); err != nil {
			panic(err)
		}
	}

	batch, err := sub.Next(ctx) // everything behind the position, in order
	if err != nil {
		panic(err)
	}
	for _, m := range batch.Messages {
		fmt.Printf("%s: %s\n", m.Topic, m.Data)
	}
	// Output:
	// wall: hello
	// news/sports: two nil
}

// A reader whose cursor lies before what is retained is told of the gap, and
// goes on with what is left.
func ExampleRules() {
	ctx := context.Background()
	hub := push.NewHub(push.NewMemory(push.Rules(push.Rule{Pattern: "noisy/**", Retention: push.Retention{Count: 2}})))
	var first push.ID
	for i := range 5 {
		ids, err := hub.Publish(ctx, push.Event{Topic: "noisy/a", Data: fmt.Append(nil, i)})
		if err != nil {
			panic(err)
		}
		if i == 0 {
			first = ids[0]
		}
	}
	sub, err := hub.Subscribe(ctx, []string{"noisy/a"}, push.AfterCursor(first.String()))
	if err != nil {
		panic(err)
	}
	defer sub.Close()
	batch, err := sub.Next(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Printf("gap after %d up to %d: %s\n", batch.Gap.From.Seq, batch.Gap.To.Seq, batch.Gap.Reason)
	for _, m := range batch.Messages {
		fmt.Printf("%s\n", m.Data)
	}
	// Output:
	// gap after 1 up to 3: trimmed
	// 3
	// 4
}

// What clients publish passes the inbound handlers first.
func ExampleHub_Handle() {
	hub := push.New()
	hub.Handle("chat/**", func(_ context.Context, in *push.Inbound) error {
		text := strings.TrimSpace(string(in.Event.Data))
		if text == "" {
			return push.Refuse("say something")
		}
		in.Event.Data = []byte(text)
		return nil
	})
	_, err := hub.Receive(context.Background(), &push.Inbound{Event: &push.Event{Topic: "chat/go", Data: []byte("  ")}})
	fmt.Println(err)
	// Output: push: refused: say something
}
