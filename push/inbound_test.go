package push_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

func TestInboundHandlersChangeAndRefuseInOrder(t *testing.T) {
	h := memoryHub(t, push.NewMemory())
	var calls []string
	h.Handle("wall", func(_ context.Context, in *push.Inbound) error {
		calls = append(calls, "wall:"+in.Subject+":"+in.ConnID)
		in.Event.Data = append([]byte("seen "), in.Event.Data...)
		return nil
	})
	h.Handle("rooms/*", func(context.Context, *push.Inbound) error {
		calls = append(calls, "rooms")
		return nil
	})
	h.Handle("**", func(_ context.Context, in *push.Inbound) error {
		calls = append(calls, "all")
		if string(in.Event.Data) == "seen bad" {
			return push.Refuse("%s is not allowed", "bad")
		}
		return nil
	})
	s := subscribe(t, h, push.FromHead(), []string{"**"})
	id, err := h.Receive(t.Context(), &push.Inbound{Event: &push.Event{Topic: "wall", Data: []byte("hi")}, Subject: "ann", ConnID: "c1"})
	if err != nil || id.Seq != 1 {
		t.Fatalf("Receive returned %v, %v", id, err)
	}
	if want := []string{"wall:ann:c1", "all"}; !slices.Equal(calls, want) {
		t.Errorf("handlers ran %q, want %q", calls, want)
	}
	_, err = h.Receive(t.Context(), &push.Inbound{Event: &push.Event{Topic: "wall", Data: []byte("bad")}})
	var refused *push.RefusedError
	if !errors.Is(err, push.ErrRefused) || !errors.As(err, &refused) || refused.Reason != "bad is not allowed" {
		t.Errorf("refused: %v", err)
	}
	publish(t, h, "wall", "bad") // the application's own events are not looked at
	if b, err := s.Next(t.Context()); err != nil || !slices.Equal(texts(b), []string{"seen hi", "bad"}) {
		t.Errorf("published were %s, %v", show(b), err)
	}
}

func TestInboundHandlersCannotBreakTheRules(t *testing.T) {
	h := memoryHub(t, push.NewMemory())
	boom := errors.New("boom")
	h.Handle("move", func(_ context.Context, in *push.Inbound) error { in.Event.Topic = "elsewhere"; return nil })
	h.Handle("spoil", func(_ context.Context, in *push.Inbound) error { in.Event.Name = "push.gap"; return nil })
	h.Handle("fail", func(context.Context, *push.Inbound) error { return boom })
	seen := false
	h.Handle("**", func(context.Context, *push.Inbound) error { seen = true; return nil })
	receive := func(topic string) error {
		_, err := h.Receive(t.Context(), &push.Inbound{Event: &push.Event{Topic: topic}})
		return err
	}
	if err := receive("move"); err == nil {
		t.Error("an event was moved to another topic, past the grants of its publisher")
	}
	if err := receive("spoil"); !errors.Is(err, push.ErrInvalid) {
		t.Errorf("a handler made an event invalid: %v", err)
	}
	seen = false
	if err := receive("fail"); !errors.Is(err, boom) || !errors.Is(err, push.ErrRefused) || strings.Contains(err.Error(), "boom") || seen {
		t.Errorf("a handler failed with %v; the next one ran: %v", err, seen)
	}
	if err := receive("a//b"); !errors.Is(err, push.ErrInvalid) || seen {
		t.Errorf("an invalid event: %v; a handler saw it: %v", err, seen)
	}
	if head, _ := h.Head(t.Context()); head.Seq != 0 {
		t.Errorf("%d events were published", head.Seq)
	}
	defer func() {
		if recover() == nil {
			t.Error("Handle took a bad pattern")
		}
	}()
	h.Handle("a/**/b", nil)
}

func TestHandleMayBeCalledWhileEventsArrive(t *testing.T) {
	h := memoryHub(t, push.NewMemory())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			h.Handle("a", func(context.Context, *push.Inbound) error { return nil })
		}
	}()
	for range 100 {
		if _, err := h.Receive(t.Context(), &push.Inbound{Event: &push.Event{Topic: "a"}}); err != nil {
			t.Fatal(err)
		}
	}
	<-done
}
