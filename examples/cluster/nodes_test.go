package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// engines are what nodes can have their log on: each starts one, and returns the
// flags of a node.
var engines = map[string]func(t *testing.T) []string{
	"NATS": onNATS,
	"Redis": func(t *testing.T) []string {
		dir, err := os.MkdirTemp("", "redis") // t.TempDir is too long for a socket's path
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", dir+"/s", "--dir", dir, "--appendonly", "yes", "--appendfsync", "always")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = os.RemoveAll(dir)
		})
		return []string{"-redis", "unix://" + dir + "/s"}
	},
}

func onNATS(t *testing.T) []string {
	t.Helper()
	broker, err := startBroker(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	})
	return []string{"-nats", broker.ClientURL()}
}

// onNodes is a test on every engine, with n mounts and what starts one more.
func onNodes(t *testing.T, n int, f func(t *testing.T, all []*mount, more func() *mount)) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := start(t)
			more := func() *mount { return newMount(t, flags) }
			var all []*mount
			for range n {
				all = append(all, more())
			}
			f(t, all, more)
		})
	}
}

// mount is a mount of a node of its own: with a hub and a connection to the log.
type mount struct {
	*httptest.Server
	t          *testing.T
	hub        *push.Hub
	disconnect func()
	handler    *rest.Handler
}

// newMount returns a mount where the header User says who somebody is.
func newMount(t *testing.T, args []string) *mount {
	t.Helper()
	o, err := parseNode(args, flag.ContinueOnError)
	if err != nil {
		t.Fatal(err)
	}
	broker, disconnect, err := o.broker()
	if err != nil {
		t.Fatal(err)
	}
	auth := rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
		grants := []push.Grant{push.Sub("**"), push.Pub("**"), push.Presence("**"), push.Manage("**")}
		return &rest.Principal{Subject: r.Header.Get("User"), Grants: grants, IssuedAt: time.Now().Add(-time.Minute)}, nil
	})
	m := &mount{t: t, disconnect: disconnect, hub: push.NewHub(broker)}
	m.handler, err = rest.New(rest.Config{Hub: m.hub, Auth: auth, Presence: rest.Presence{Topics: []string{"room/*"}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.Server = httptest.NewServer(m.handler)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = m.hub.Shutdown(ctx)
		m.Close()
		disconnect()
	})
	eventually(t, "the hub is ready", func() bool { return m.hub.Ready() == nil })
	return m
}

func (m *mount) open(method, path, body string, headers ...string) *http.Response {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.URL+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := m.Client().Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// do expects a status, and reads the JSON of the answer into v.
func (m *mount) do(status int, v any, method, path, body string, headers ...string) {
	m.t.Helper()
	res := m.open(method, path, body, headers...)
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		m.t.Fatalf("%s %s %v: %d, want %d: %s %v", method, path, headers, res.StatusCode, status, b, err)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			m.t.Fatalf("%s: %v", b, err)
		}
	}
}

// reader reads an event stream.
type reader struct {
	*mount
	body  io.Closer
	lines *bufio.Scanner
	cid   string
}

func (m *mount) follow(path string, headers ...string) *reader {
	m.t.Helper()
	res := m.open(http.MethodGet, path, "", append([]string{"Accept: text/event-stream"}, headers...)...)
	r := &reader{m, res.Body, bufio.NewScanner(res.Body), ""}
	if res.StatusCode != http.StatusOK {
		m.t.Fatalf("%s: %s", path, res.Status)
	}
	var hello struct{ Connection string }
	if err := json.Unmarshal([]byte(r.next("push.open")), &hello); err != nil {
		m.t.Fatal(err)
	}
	r.cid = hello.Connection
	return r
}

// next returns the data of the next event of a name; "" is a message.
func (r *reader) next(name string) (data string) {
	r.t.Helper()
	event := ""
	for r.lines.Scan() {
		line := r.lines.Text()
		if v, ok := strings.CutPrefix(line, "event: "); ok {
			event = v
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok && event == name {
			return v
		}
		if line == "" {
			event = ""
		}
	}
	r.t.Fatalf("the stream ended before %q: %v", name, r.lines.Err())
	return ""
}

// soon fails if something took longer than a second.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > time.Second {
		t.Errorf("%s took %v", what, d)
	}
}

const ann = "User: ann"

func TestTicketOfOneNodeOpensOneStreamOnAnother(t *testing.T) {
	t.Parallel()
	onNodes(t, 2, func(t *testing.T, all []*mount, _ func() *mount) {
		a, b := all[0], all[1]
		var ticket struct {
			URL string `json:"sse_url"`
		}
		a.do(http.StatusCreated, &ticket, http.MethodPost, "/tickets", `{"topics":["wall"]}`, ann)
		r := b.follow(ticket.URL)
		for _, m := range all {
			if res := m.open(http.MethodGet, ticket.URL, "", "Accept: text/event-stream"); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("a ticket worked twice: %s", res.Status)
			}
		}
		a.do(http.StatusCreated, nil, http.MethodPost, "/topics/wall", "hi", ann)
		if got := r.next(""); got != "hi" {
			t.Errorf("%q", got)
		}
	})
}

func TestKeyOfOneNodeIsKnownOnAnother(t *testing.T) {
	t.Parallel()
	onNodes(t, 2, func(t *testing.T, all []*mount, _ func() *mount) {
		var first, again struct{ ID string }
		for i, id := range []*struct{ ID string }{&first, &again} {
			all[i].do(http.StatusCreated, id, http.MethodPost, "/topics/wall", "hi", ann, "Idempotency-Key: k")
		}
		if first.ID == "" || first != again {
			t.Errorf("the first is %v, its repetition %v", first, again)
		}
		all[1].do(http.StatusUnprocessableEntity, nil, http.MethodPost, "/topics/wall", "ho", ann, "Idempotency-Key: k")
	})
}

func TestConnectionIsControlledFromAnotherNode(t *testing.T) {
	t.Parallel()
	onNodes(t, 3, func(t *testing.T, all []*mount, _ func() *mount) {
		a, b, c := all[0], all[1], all[2]
		for _, headers := range [][]string{{ann}, nil} {
			r := a.follow("/topics/wall", headers...)
			path := "/connections/" + r.cid
			var now struct{ Topics []string }
			soon(t, "a change", func() {
				b.do(http.StatusOK, &now, http.MethodPatch, path+"/subscriptions", `{"add":["news"]}`, headers...)
			})
			if !slices.Equal(now.Topics, []string{"wall", "news"}) {
				t.Errorf("topics are %v", now.Topics)
			}
			r.next("push.subscriptions")
			c.do(http.StatusOK, nil, http.MethodPost, path+"/messages", `{"action":"publish","topic":"news","data":1}`, headers...)
			if got := r.next(""); got != "1" {
				t.Errorf("%q", got)
			}
			c.do(http.StatusOK, nil, http.MethodGet, path+"/subscriptions", "", headers...)
			b.do(http.StatusOK, nil, http.MethodPut, path+"/credentials", "", headers...)
			b.do(http.StatusForbidden, nil, http.MethodPut, path+"/credentials", "", "User: eve")
			b.do(http.StatusNotFound, nil, http.MethodDelete, path, "", "User: eve")
			soon(t, "an end", func() {
				b.do(http.StatusNoContent, nil, http.MethodDelete, path, "", headers...)
				if data := r.next("push.close"); !strings.Contains(data, "3003") {
					t.Errorf("push.close %s", data)
				}
			})
			eventually(t, "it is gone", func() bool {
				return c.open(http.MethodGet, path+"/subscriptions", "", headers...).StatusCode == http.StatusNotFound
			})
		}
	})
}

func TestRevocationAndDisconnectReachAllNodesWithinASecond(t *testing.T) {
	t.Parallel()
	onNodes(t, 3, func(t *testing.T, all []*mount, more func() *mount) {
		end := func(what string, f func(), code string) {
			var streams []*reader
			for _, m := range all {
				streams = append(streams, m.follow("/topics/wall", ann), m.follow("/topics/wall", ann))
			}
			soon(t, what, func() {
				f()
				for _, r := range streams {
					if data := r.next("push.close"); !strings.Contains(data, code) {
						t.Errorf("%s: push.close %s", what, data)
					}
				}
			})
		}
		end("a disconnect", func() {
			if err := all[0].handler.Disconnect(t.Context(), rest.Revocation{Subject: "ann"}, &push.CloseError{Code: push.CloseDrain}); err != nil {
				t.Error(err)
			}
		}, "1012")
		end("a revocation", func() {
			all[1].do(http.StatusNoContent, nil, http.MethodPost, "/revocations", `{"sub":"ann"}`, "User: admin")
		}, "3003")
		for _, m := range append(all, more()) { // and one that was not there
			m.do(http.StatusUnauthorized, nil, http.MethodGet, "/topics/wall", "", ann, "Accept: application/json")
		}
	})
}

// comings are the joins and leaves of a room in the log, as "+ann" and "-ann".
func (m *mount) comings(room string) (list []string) {
	m.t.Helper()
	page, err := m.hub.History(m.t.Context(), push.Query{Topics: []string{"$presence/" + room}, Limit: 1000})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range page.Events {
		var who struct{ ID string }
		if err := json.Unmarshal(e.Data, &who); err != nil {
			m.t.Fatal(err)
		}
		list = append(list, map[string]string{"push.join": "+", "push.leave": "-"}[e.Name]+who.ID)
	}
	return list
}

// A member has joined once and left once, whatever reconnects; one whose node dies
// has left within 30 s, and one that went on at another node has not.
func TestPresenceOverNodes(t *testing.T) {
	t.Parallel()
	onNodes(t, 3, func(t *testing.T, all []*mount, _ func() *mount) {
		a, b, c := all[0], all[1], all[2]
		for i := range 20 { // ann moves from node to node, often
			r := all[i%2].follow("/topics/room/1", ann)
			defer r.body.Close()
			if i > 0 {
				defer all[i%2].follow("/topics/room/1", ann).body.Close()
			}
			if i < 18 {
				_ = r.body.Close()
			}
		}
		a.follow("/topics/room/1", "User: bob")
		a.follow("/topics/room/1", "User: eve")
		b.follow("/topics/room/1", "User: eve")
		want := func(want ...string) func() bool {
			return func() bool {
				got := c.comings("room/1")
				slices.Sort(got)
				return slices.Equal(got, want)
			}
		}
		eventually(t, "all have come", want("+ann", "+bob", "+eve"))
		a.disconnect() // it dies: nothing of it reaches the others any more
		start := time.Now()
		end := start.Add(35 * time.Second)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for !want("+ann", "+bob", "+eve", "-bob")() && time.Now().Before(end) {
			<-tick.C
		}
		if got := c.comings("room/1"); len(got) != 4 || got[3] != "-bob" {
			t.Errorf("%v after the node died: %v", time.Since(start), got)
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("bob has left after %v", d)
		}
		var list struct {
			Members []struct{ ID string }
			Total   int
		}
		c.do(http.StatusOK, &list, http.MethodGet, "/presence/room/1", "", ann)
		slices.SortFunc(list.Members, func(a, b struct{ ID string }) int { return strings.Compare(a.ID, b.ID) })
		if got := fmt.Sprint(list); got != "{[{ann} {eve}] 2}" {
			t.Errorf("there are %s", got)
		}
	})
}
