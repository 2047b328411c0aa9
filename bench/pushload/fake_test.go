package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"pushbench/peers/kit"
)

// fake is a push server that keeps all events of its one topic, and has faults
// on demand.
type fake struct {
	mu    sync.Mutex
	log   [][]byte
	grown chan struct{}

	loses, doubles int // the event of this sequence number; 0: none
	forgets        bool
	repeats        int // so many events before a resume's position
	open           sync.WaitGroup
}

func (f *fake) publish(_ string, seq int, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq == f.loses && seq > 0 {
		return
	}
	f.log = append(f.log, p)
	if seq == f.doubles && seq > 0 {
		f.log = append(f.log, p)
	}
	close(f.grown)
	f.grown = make(chan struct{})
}

// next waits for events from at on.
func (f *fake) next(ctx context.Context, at int) [][]byte {
	for {
		f.mu.Lock()
		news, grown := f.log[at:], f.grown
		f.mu.Unlock()
		if len(news) > 0 {
			return news
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil
		}
	}
}

// start returns where a reader with a cursor goes on.
func (f *fake) start(cursor string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := strconv.Atoi(cursor)
	if err != nil || f.forgets {
		return len(f.log)
	}
	return max(0, at-f.repeats)
}

func (f *fake) follow(ctx context.Context, at int, write func(at int, p []byte) error) {
	for {
		news := f.next(ctx, at)
		if news == nil {
			return
		}
		for _, p := range news {
			at++
			if write(at, p) != nil {
				return
			}
		}
	}
}

func (f *fake) sse(w http.ResponseWriter, r *http.Request) {
	at := f.start(r.Header.Get("Last-Event-ID"))
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	f.follow(r.Context(), at, func(at int, p []byte) error {
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", at, p)
		return rc.Flush()
	})
}

func (f *fake) ws(w http.ResponseWriter, r *http.Request) {
	f.open.Add(1)
	defer f.open.Done()
	at := f.start(r.URL.Query().Get("after"))
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	_ = c.Write(ctx, websocket.MessageText, []byte(`{"event":"open"}`))
	f.follow(ctx, at, func(at int, p []byte) error {
		return c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":"%d","data":%s}`, at, p))
	})
}

func (f *fake) poll(w http.ResponseWriter, r *http.Request) {
	at := f.start(r.URL.Query().Get("after"))
	for _, p := range f.next(r.Context(), at) {
		fmt.Fprintf(w, "%s,", p)
		at++
	}
	fmt.Fprintf(w, `"last":"%d"}`, at)
}

// serve runs f and returns its address.
func (f *fake) serve(t *testing.T, tls bool) string {
	f.grown = make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/sse", f.sse)
	mux.HandleFunc("/ws", f.ws)
	mux.HandleFunc("/poll", f.poll)
	mux.HandleFunc("/burst", func(w http.ResponseWriter, r *http.Request) {
		kit.Burst(r.URL.Query().Get, f.publish)
		_, _ = w.Write([]byte("ok"))
	})
	srv := httptest.NewUnstartedServer(mux)
	if srv.EnableHTTP2 = tls; tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		f.open.Wait()
	})
	return srv.Listener.Addr().String()
}

var modes = map[string][]string{
	"sse":  {"-mode", "sse", "-url", "http://ADDR/sse"},
	"ws":   {"-mode", "ws", "-url", "http://ADDR/ws?after={last}", "-ready", `"open"`, "-id-re", `"id":"(\d+)"`},
	"tls":  {"-mode", "sse", "-url", "https://ADDR/sse"},
	"h2":   {"-mode", "sse", "-url", "https://ADDR/sse", "-h2"},
	"poll": {"-mode", "poll", "-url", "http://ADDR/poll?after={last}", "-id-re", `"last":"(\d+)"`},
}

// run loads f with 20 subscribers.
func (f *fake) run(t *testing.T, mode string, args ...string) result {
	t.Helper()
	addr := f.serve(t, slices.ContainsFunc(modes[mode], func(a string) bool { return strings.HasPrefix(a, "https:") }))
	all := []string{"-burst", "http://" + addr + "/burst?n={n}&size={size}&rate={rate}&topics={topics}&first={first}",
		"-n", "20", "-settle", "20ms", "-batch", "10", "-dur", "50ms", "-drain", "1s", "-away", "50ms", "-pid", strconv.Itoa(os.Getpid())}
	for _, a := range modes[mode] {
		all = append(all, strings.Replace(a, "//ADDR/", "//"+addr+"/", 1))
	}
	cfg, err := parse(append(all, args...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(cfg, cfg.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer b.shut()
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	if b.r.Established != 20 || b.r.Failed != 0 || b.r.Died != 0 {
		t.Fatalf("%d of 20 connected, %d failed, %d died: %s", b.r.Established, b.r.Failed, b.r.Died, b.r.Why)
	}
	return b.r
}
