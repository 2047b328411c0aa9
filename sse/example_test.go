package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

// A handler streams a topic; a client reads it and would come back by itself.
func Example() {
	hub := push.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub, err := hub.Subscribe(r.Context(), []string{"wall"}, push.AfterCursor(sse.Cursor(r)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer sub.Close()
		_ = sse.Serve(w, r, sub, nil)
	}))
	defer server.Close()

	client := sse.NewClient(server.URL, nil)
	for ev, err := range client.Events(context.Background()) {
		if err != nil {
			log.Panic(err)
		}
		if open, ok := ev.Open(); ok {
			fmt.Println("connected to", open.Topics)
			_, _ = hub.Publish(context.Background(), push.Event{Topic: "wall", Name: "post", Data: []byte("hello")})
			continue
		}
		fmt.Printf("%s: %s\n", ev.Name, ev.Data)
		break
	}
	// Output:
	// connected to [wall]
	// post: hello
}

func ExampleDecoder() {
	stream := "id: 7\nevent: price\ndata: {\ndata: }\n\n: a comment\ndata: next\n\n"
	d := sse.NewDecoder(strings.NewReader(stream), 0)
	for {
		ev, err := d.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s %q\n", ev.ID, ev.Name, ev.Data)
	}
	// Output:
	// 7 price "{\n}"
	// 7 message "next"
	// EOF
}

// A gap says that the client missed events that are gone, e.g. because it was
// away for too long: it loads its state anew, and goes on.
func ExampleEvent_Gap() {
	hub := push.New()
	_, _ = hub.Publish(context.Background(), push.Event{Topic: "wall", Data: []byte("old")})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub, err := hub.Subscribe(r.Context(), []string{"wall"}, push.AfterCursor(sse.Cursor(r)))
		if err != nil {
			return
		}
		defer sub.Close()
		_ = sse.Serve(w, r, sub, nil)
	}))
	defer server.Close()

	client := sse.NewClient(server.URL, &sse.ClientOptions{LastEventID: "of-another-log"})
	for ev, err := range client.Events(context.Background()) {
		if err != nil {
			log.Panic(err)
		}
		if gap, ok := ev.Gap(); ok {
			fmt.Println("gap:", gap.Reason)
		}
		if ev.Name == "message" {
			fmt.Printf("%s\n", ev.Data)
			break
		}
	}
	// Output:
	// gap: epoch
	// old
}

// What cannot be served now is refused such that an EventSource comes back.
func ExampleRefuse() {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	_ = sse.Refuse(rec, r, &push.CloseError{Code: push.CloseOverload, Reason: "too many connections"}, nil)
	_, event, _ := bytes.Cut(rec.Body.Bytes(), []byte("\n")) // the first line is retry: with some jitter
	fmt.Printf("%d %s", rec.Code, event[:bytes.IndexByte(event, '\n')+1])
	// Output:
	// 200 event: push.close
}
