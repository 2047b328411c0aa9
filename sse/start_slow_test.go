package sse_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// A reader of small sips gets everything, whatever waits meanwhile.
func TestSlowReaderGetsEverything(t *testing.T) {
	w := newTCP(t)
	w.listener = small
	w.start()
	c := w.raw(get)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		t.Fatal(err)
	}
	dec := sse.NewDecoder(resp.Body, 1<<20)
	if ev, err := dec.Next(); err != nil || ev.Name != wire.Open {
		t.Fatal(ev, err)
	}
	const n = 300
	for i := range n {
		w.publishText(fmt.Sprintf("%d %s", i, strings.Repeat("x", i)))
	}
	for i := range n {
		ev, err := dec.Next()
		if err != nil || !strings.HasPrefix(string(ev.Data), fmt.Sprintf("%d ", i)) || len(ev.Data) < i {
			t.Fatalf("event %d: %.100q, %v", i, ev.Data, err)
		}
	}
	_ = c.Close()
	_ = w.end()
}

// TestCutInAPartialWriteResumesExactly leaves in the middle of frames that the
// socket took a part of, and resumes each time.
func TestCutInAPartialWriteResumesExactly(t *testing.T) {
	w := newTCP(t)
	w.listener = small
	w.start()
	const n = 400
	for i := range n {
		w.publishText(fmt.Sprintf("%d %s", i, strings.Repeat("x", 900+i)))
	}
	cursor, next, cuts := "", 0, 0
	for next < n {
		var request string
		if cursor == "" {
			request = "GET /?after=0 HTTP/1.1\r\nHost: x\r\n\r\n"
		} else {
			request = "GET / HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + cursor + "\r\n\r\n"
		}
		c := w.raw(request)
		got := make([]byte, 20_000+cuts*37)
		got = got[:must(io.ReadAtLeast(c, got, min(len(got), 20_000)))]
		_ = c.Close()
		_, body, _ := bytes.Cut(got, []byte("\r\n\r\n"))
		dec := sse.NewDecoder(bytes.NewReader(body), 1<<20)
		for {
			ev, err := dec.Next()
			if err != nil {
				break
			}
			if ev.ID != "" {
				cursor = ev.ID
			}
			switch {
			case ev.Name == "message" && strings.HasPrefix(string(ev.Data), fmt.Sprintf("%d ", next)):
				next++
			case ev.Name != wire.Open && ev.Name != wire.Heartbeat:
				t.Fatalf("want event %d, got %s %.60q", next, ev.Name, ev.Data)
			}
		}
		cuts++
		if cuts > n {
			t.Fatal("no progress at ", next)
		}
		if next >= n-40 { // less than a read is left
			break
		}
	}
	for range cuts {
		_ = w.end()
	}
}

func must(n int, _ error) int { return n }

// Failure 17, over sockets.
func TestStuckReaderHoldsNobodyUpAndIsEnded(t *testing.T) {
	w := newTCP(t)
	w.listener = small
	w.opts = &sse.Options{WriteTimeout: 300 * time.Millisecond}
	w.start()
	const stuck = 20
	for range stuck {
		c := w.raw(get)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	healthy := w.open("")
	healthy.want(wire.Open, "*")
	data := strings.Repeat("x", 8<<10)
	for i := range 500 {
		w.publishText(fmt.Sprint(i, data))
		if ev := healthy.want("message", "*"); !bytes.HasPrefix(ev.Data, fmt.Append(nil, i)) {
			t.Fatal(i)
		}
	}
	for range stuck {
		if err := w.end(); !errors.Is(err, push.ErrGone) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	}
	if n := w.hub.Subscriptions(); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

// Nobody's memory is bounded by their reading: what a stuck reader keeps is a
// frame.
func TestStuckReadersKeepAFrameEach(t *testing.T) {
	w := newTCP(t)
	w.listener = small
	w.start()
	const stuck, size = 50, 16 << 10
	for range stuck {
		if _, err := w.raw(get).Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	data := strings.Repeat("x", size)
	publish := func(n int) (heap uint64) {
		for range n {
			w.publishText(data)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	publish(1000) // the log is full
	before := publish(1)
	if after := publish(1000); after > before+2*stuck*size {
		t.Errorf("%d KB, then %d KB", before>>10, after>>10)
	}
}

// A drain does not cut a frame in two, and waits for nobody longer than its
// time.
func TestDrainInAPartialWriteFinishesTheFrame(t *testing.T) {
	w := newTCP(t)
	w.listener = small
	c := w.start().raw(get)
	br := bufio.NewReaderSize(c, 512)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	dec := sse.NewDecoder(resp.Body, 8<<20)
	if ev, err := dec.Next(); err != nil || ev.Name != wire.Open {
		t.Fatal(ev, err)
	}
	data := strings.Repeat("x", 128<<10)
	w.publishText(data, "never")
	if _, err := br.Peek(1); err != nil { // it has begun
		t.Fatal(err)
	}
	down := make(chan error, 1)
	go func() { down <- w.hub.Shutdown(context.Background()) }()
	for {
		ev, err := dec.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case ev.Name == wire.Close:
			if err := <-down; err != nil {
				t.Error(err)
			}
			return
		case string(ev.Data) != data && string(ev.Data) != "never":
			t.Fatalf("%s of %d bytes", ev.Name, len(ev.Data))
		}
	}
}

// An open stream must not keep its request alive, nor a goroutine.
func TestTakenConnectionKeepsNeitherRequestNorGoroutine(t *testing.T) {
	w := newTCP(t)
	collected := make(chan struct{}, 200)
	w.before = func(r *http.Request, _ *push.Subscription) {
		runtime.AddCleanup(r, func(struct{}) { collected <- struct{}{} }, struct{}{})
	}
	w.start()
	c := w.raw(get)
	_, _ = c.Read(make([]byte, 1))
	<-w.returned
	before := runtime.NumGoroutine()
	for range 100 {
		c := w.raw(get)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		<-w.returned
	}
	deadline := time.After(10 * time.Second)
	for n := 0; n < 100; { // of 101: one may still be in a register
		runtime.GC()
		select {
		case <-collected:
			n++
		case <-deadline:
			t.Fatalf("%d of 101 requests are free", n)
		}
	}
	if after := runtime.NumGoroutine(); after > before+20 {
		t.Errorf("%d goroutines for 100 connections", after-before)
	}
}

func TestThousandStreamsLeaveNothingBehind(t *testing.T) {
	w := newTCP(t).start()
	open := func(n int) {
		var all sync.WaitGroup
		for range n {
			c := w.raw(get)
			all.Go(func() {
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
			})
		}
		all.Wait()
		for range n {
			_ = w.end()
		}
	}
	fds := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			if runtime.GOOS == "linux" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		return len(list)
	}
	open(10)
	before := fds()
	for range 5 {
		open(200)
		w.publishText("to nobody")
	}
	if after := fds(); after > before+5 {
		t.Errorf("%d descriptors, then %d", before, after)
	}
	if n := w.hub.Subscriptions(); n > 0 {
		t.Errorf("%d subscriptions", n)
	}
}
