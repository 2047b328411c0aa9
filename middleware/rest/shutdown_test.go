package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// http.Server.Shutdown hangs on SSE and does not know WebSockets.
func TestShutdownEndsAllLiveStreamsWithinTheWindow(t *testing.T) {
	cfg := func() rest.Config { return rest.Config{Hub: push.New(push.WithDrainWindow(8 * time.Second))} }
	inBubble(t, cfg, func(t *testing.T, s *site) {
		const each = 5
		start := time.Now()
		ends := make(chan error, 4*each)
		for i := range each {
			es, v1, plain := s.follow("/topics/wall"), s.socket("/topics/wall"), s.plain("/topics/wall")
			go func() { ends <- es.drained() }()
			go func() { ends <- v1.drained() }()
			go func() {
				if code, _ := plain.closed(); code != push.CloseDrain {
					ends <- fmt.Errorf("plain WebSocket closed with %d", code)
					return
				}
				ends <- nil
			}()
			go func() {
				a := s.get("/topics/wall?after="+s.hub.Position().String(), "Prefer: wait=50")
				if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
					ends <- fmt.Errorf("poll %d: %s", i, a.Status)
					return
				}
				ends <- nil
			}()
		}
		synctest.Wait()
		if n := s.hub.Subscriptions(); n != 4*each {
			t.Fatalf("%d subscriptions, want %d", n, 4*each)
		}
		if err := s.hub.Shutdown(context.Background()); err != nil {
			t.Errorf("hub.Shutdown: %v", err)
		}
		if err := s.Config.Shutdown(context.Background()); err != nil {
			t.Errorf("http.Server.Shutdown: %v", err)
		}
		if d := time.Since(start); d < 4*time.Second || d > 12*time.Second {
			t.Errorf("the drain took %v, want it spread over about 8 s", d)
		}
		for range cap(ends) {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
	})
}

func (es *eventSource) drained() error {
	e, err := es.dec.Next()
	if err != nil {
		return fmt.Errorf("SSE ended without a word: %w", err)
	}
	var end closeData
	if err := json.Unmarshal(e.Data, &end); err != nil || e.Name != "push.close" || end.Code != push.CloseDrain || end.Retry < 1000 {
		return fmt.Errorf("SSE ended with %s %s", e.Name, e.Data)
	}
	if _, err = es.dec.Next(); err == nil {
		return errors.New("SSE goes on after push.close")
	}
	return nil
}

func (c *socket) drained() error {
	env := c.next()
	var end closeData
	if err := json.Unmarshal(env.Data, &end); err != nil || env.Event != wire.Close || end.Code != push.CloseDrain || end.Retry < 1000 {
		return fmt.Errorf("push.v1 ended with %s %s", env.Event, env.Data)
	}
	if code, _ := c.closed(); code != push.CloseDrain {
		return fmt.Errorf("push.v1 closed with %d", code)
	}
	return nil
}

func TestShutdownDuringAReplayTellsTheCursor(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("wall", numbers(0, 50)...)
	es := s.follow("/topics/wall?after=0")
	last := es.messages(numbers(0, 50)...)
	s.kill()
	if e := es.expect("push.close", nil); e.ID != last.ID {
		t.Errorf("push.close at %s, the reader is at %s", e.ID, last.ID)
	}
	es.ended()
}
