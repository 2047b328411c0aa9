package r3labs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
)

// atOnce has r3labs' client reconnect at once until ctx ends; its own context
// does not end it.
type atOnce struct{ ended func() error }

func (b atOnce) Reset() {}
func (b atOnce) NextBackOff() time.Duration {
	if b.ended() != nil {
		return -1
	}
	return 0
}

// peer is r3labs' client.
type peer struct {
	events chan *r3sse.Event
	ended  chan struct{}
	err    error // once it has ended
}

// theirs subscribes with r3labs' client until the test ends.
func theirs(t *testing.T, url, stream string, opts ...func(*r3sse.Client)) *peer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &peer{events: make(chan *r3sse.Event), ended: make(chan struct{})}
	c := r3sse.NewClient(url, opts...)
	c.ReconnectStrategy = atOnce{ctx.Err}
	go func() {
		defer close(p.ended)
		p.err = c.SubscribeWithContext(ctx, stream, func(ev *r3sse.Event) {
			select {
			case p.events <- ev:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-p.ended })
	return p
}

// next returns the next event, field by field.
func (p *peer) next() (id, name, data, retry string) {
	ev := <-p.events
	return string(ev.ID), string(ev.Event), string(ev.Data), string(ev.Retry)
}

func TestTheirClientReadsOurServer(t *testing.T) {
	s, url := adapter(t, push.New())
	s.CreateStream("messages")
	s.Publish("messages", &r3sse.Event{Data: []byte("a\nb"), Event: []byte("e"), Retry: []byte("5"), Comment: []byte("c")})
	s.Publish("messages", event("mine", "2"))
	p := theirs(t, url, "messages")
	id, name, data, retry := p.next()
	if _, err := push.ParseID(id); err != nil || data != "a\nb" || name != "e" || retry != "5" {
		t.Errorf("%q %q %q %q", id, name, data, retry)
	}
	if id, name, data, _ := p.next(); id != "mine" || name != "" || data != "2" {
		t.Errorf("%q %q %q", id, name, data)
	}
	s.Publish("messages", event("", "3"))
	if _, _, data, _ := p.next(); data != "3" {
		t.Errorf("%q", data)
	}
}

func TestTheirClientReadsBase64(t *testing.T) {
	s, url := adapter(t, push.New())
	s.EncodeBase64 = true
	s.CreateStream("messages")
	s.Publish("messages", event("", "\xff\n\r"))
	p := theirs(t, url, "messages", func(c *r3sse.Client) { c.EncodingBase64 = true })
	if _, _, data, _ := p.next(); data != "\xff\n\r" {
		t.Errorf("%q", data)
	}
}

func TestTheirChannelClientReadsOurServer(t *testing.T) {
	s, url := adapter(t, push.New())
	s.CreateStream("messages")
	ctx, cancel := context.WithCancel(t.Context())
	c := r3sse.NewClient(url)
	c.ReconnectStrategy = atOnce{ctx.Err}
	events := make(chan *r3sse.Event)
	if err := c.SubscribeChanWithContext(ctx, "messages", events); err != nil { // returns although nothing was published
		t.Fatal(err)
	}
	defer cancel()
	for _, text := range numbers(1, 3) {
		s.Publish("messages", event("", text))
		if ev := <-events; string(ev.Data) != text {
			t.Errorf("%q, want %q", ev.Data, text)
		}
	}
}

// A hub that drains, or a client that was too slow, is a cut to their client:
// it comes back and loses nothing. An orderly end is the end to it.
func TestTheirClientComesBackAndResumes(t *testing.T) {
	hub := push.New()
	s, url := adapter(t, hub)
	s.CreateStream("messages")
	p := theirs(t, url, "messages")
	for _, text := range numbers(1, 5) {
		s.Publish("messages", event("", text))
		if _, _, data, _ := p.next(); data != text {
			t.Fatalf("%q, want %q", data, text)
		}
		n := hub.Disconnect(func(*push.Subscription) bool { return true }, &push.CloseError{Code: push.CloseOverload})
		if n != 1 {
			t.Fatal(n, "connections")
		}
	}
	s.Publish("messages", event("", "6"))
	p.next() // it is connected
	s.RemoveStream("messages")
	if <-p.ended; p.err != nil {
		t.Error("an orderly end must end it: ", p.err)
	}
}

// Their client reads lines of up to 64 KiB; ours reads on.
func TestLongLines(t *testing.T) {
	s, url := adapter(t, push.New())
	s.CreateStream("messages")
	long := strings.Repeat("x", 100<<10)
	s.Publish("messages", event("", long))
	read(t, url, "messages", "").want(long)
	if _, _, data, _ := theirs(t, url, "messages", r3sse.ClientMaxBufferSize(1<<20)).next(); data != long {
		t.Error(len(data))
	}
}
