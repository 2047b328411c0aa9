package ws_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/ws"
)

// accepting takes every action.
var accepting = doFunc(func(context.Context, *ws.Action) (any, error) { return nil, nil })

func TestTextThatIsNotUTF8ClosesWith1007(t *testing.T) {
	s := overTCP(t)
	s.opts.Actions = accepting
	for _, text := range []string{"\xFF", "\xC0\x80", "\xED\xA0\x80", "a\xE2\x82", "\xF4\x90\x80\x80"} {
		c := s.v1("")
		c.text(text)
		c.told(push.CloseInvalidData)
		c = s.dial("", "")
		c.text(text)
		c.closed(push.CloseInvalidData)
	}
	c := s.dial("", "") // a character may be split between fragments
	c.send(opText, "\xE2\x82")
	c.send(fin, "\xAC")
	c.send(fin|opBinary, "\xFF")
	c.send(fin|opPing, "still here")
	c.want(opPong, "still here")
}

func TestMessageOf1GiBClosesWith1009AndCostsNoMemory(t *testing.T) {
	s := overTCP(t)
	c := s.v1("")
	head := binary.BigEndian.AppendUint64([]byte{fin | opText, 0x80 | 127}, 1<<30)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.write(append(head, 1, 2, 3, 4))
	go func() { _, _ = io.CopyN(c, zeros{}, 1<<30) }()
	c.told(push.CloseTooBig)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestMessageAtTheLimitPasses(t *testing.T) {
	s := overTCP(t)
	s.opts.MaxMessage = 1000
	s.opts.Actions = accepting
	c := s.v1("")
	text := `{"action":"publish","ref":"1","data":"` + strings.Repeat("x", 1000-40) + `"}`
	c.text(text)
	c.reply("1")
	c.text(text + " ")
	c.told(push.CloseTooBig)
}

func TestFragmentsCountTogether(t *testing.T) {
	s := overTCP(t)
	s.opts.MaxMessage = 1000
	c := s.dial("", "")
	c.send(opText, strings.Repeat("x", 600))
	c.send(0, strings.Repeat("x", 600))
	c.closed(push.CloseTooBig)
}

func TestTooManyTopicsInOneSubscribe(t *testing.T) {
	s := overTCP(t)
	s.opts.MaxMessage = 1 << 20
	s.opts.Actions = accepting
	c := s.v1("")
	c.text(`{"action":"subscribe","topics":["x"` + strings.Repeat(`,"x"`, 1000) + `],"ref":"1"}`)
	if data, status := c.reply("1"); status != 400 || !strings.Contains(data, "1000") {
		t.Error(data)
	}
	c.text(`{"action":"subscribe","topics":["x"` + strings.Repeat(`,"x"`, 999) + `],"ref":"2"}`)
	if _, status := c.reply("2"); status != 0 {
		t.Error("a thousand were refused")
	}
}

func TestPingFloodClosesWith1008(t *testing.T) {
	for _, op := range []byte{opPing, opPong} {
		s := overTCP(t)
		c := s.dial("", "")
		go func() { _, _ = c.Write(bytes.Repeat(masked(fin|op, "x"), 100_000)) }()
		c.closed(push.ClosePolicy)
		if end, ok := s.end().(*push.CloseError); !ok || end.Code != push.ClosePolicy {
			t.Error("Serve:", end)
		}
	}
}

func TestEmptyFragmentFloodClosesWith1008(t *testing.T) {
	s := overTCP(t)
	c := s.v1("")
	c.send(opText, "")
	go func() { _, _ = c.Write(bytes.Repeat(masked(0, ""), 1_000_000)) }()
	c.told(push.ClosePolicy)
}

// Pings between fragments do not make room for more fragments.
func TestFragmentFloodWithPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.opts.MaxMessage = 1000
		c := s.dial("", "")
		c.send(opText, "")
		flood := append(bytes.Repeat(masked(0, ""), 100), masked(fin|opPong, "")...)
		sent := 0
		for ; sent < 100; sent++ {
			if _, err := c.Write(flood); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if sent > 11 { // 2 × 1000 bytes and 4 KiB
			t.Errorf("%d fragments were read", sent*100)
		}
	})
}

// Days of pings at the usual pace are no flood.
func TestPatientPingsAreNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		s.opts.MaxMessage = 1000
		c := s.dial("", "")
		for range 5000 {
			c.send(fin|opPing, "beat")
			c.want(opPong, "beat")
			time.Sleep(20 * time.Second)
		}
	})
}

// Nor are messages at the allowed rate.
func TestAllowedRateIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := overPipe(t)
		n := 0
		s.opts.MaxMessage = 1000
		s.opts.Actions = doFunc(func(context.Context, *ws.Action) (any, error) { n++; return nil, nil })
		c := s.dial("", "")
		for range 1000 {
			c.text("12345678901234567890")
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		if n != 1000 {
			t.Errorf("%d messages were carried out", n)
		}
	})
}

// Failure 30: subscribing and unsubscribing as fast as possible is slowed down,
// then ended, and nothing of it stays behind.
func TestSubscribeFloodIsLimitedAndLeaksNothing(t *testing.T) {
	s := overTCP(t)
	done := 0
	s.actions = func(sub *push.Subscription) ws.Actions {
		return doFunc(func(_ context.Context, a *ws.Action) (any, error) {
			done++
			add, remove := a.Topics, []string(nil)
			if a.Kind == ws.Unsubscribe {
				add, remove = nil, a.Topics
			}
			_, err := sub.Update(add, remove, "requested")
			return nil, err
		})
	}
	c := s.v1("")
	go func() {
		var b []byte
		for i := range 10_000 {
			kind := []string{"subscribe", "unsubscribe"}[i%2]
			b = append(b, masked(fin|opText, fmt.Sprintf(`{"action":%q,"ref":"%d","topics":["t/%d"]}`, kind, i, i/2))...)
		}
		_, _ = c.Write(b)
	}()
	status := map[int]int{}
	for end := false; !end; {
		e := c.envelope()
		switch e.Event {
		case wire.Reply:
			n := 0
			_, _ = fmt.Sscanf(string(e.Data), `{"problem":{"title":"Too Many Requests","status":%d`, &n)
			status[n]++
		case wire.Close:
			end = true
		}
	}
	c.closed(push.ClosePolicy)
	_ = s.end()
	if status[0] != done || done < 60 || done > 90 || status[429] < 10 || status[429] > 13 {
		t.Errorf("%d were carried out, answers %v", done, status)
	}
	if n := s.hub.Subscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}
