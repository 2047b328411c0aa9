package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// wall is an app like the example: mounted at /push, posts are checked.
func wall(t *testing.T) *app {
	a := newApp(t)
	a.hub.Handle("wall", func(_ context.Context, in *push.Inbound) error {
		var post struct{ Text string }
		if json.Unmarshal(in.Event.Data, &post) != nil || post.Text == "" || len(post.Text) > 280 {
			return push.Refuse("a post has 1 to 280 characters of text")
		}
		return nil
	})
	cfg := a.config()
	cfg.OnOpen = func(middleware.Connection) { a.opened <- true }
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	return a.start()
}

// curl sends a request as curl does and returns what comes back, byte by byte.
func (a *app) curl(method, path, body string, headers ...string) *bufio.Reader {
	a.t.Helper()
	c, err := net.Dial("tcp", a.Listener.Addr().String())
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var req bytes.Buffer
	req.WriteString(method + " " + path + " HTTP/1.1\r\nHost: " + a.Listener.Addr().String() + "\r\nUser-Agent: curl/8.14.1\r\n")
	if !strings.Contains(strings.Join(headers, "\n"), "Accept: ") {
		req.WriteString("Accept: */*\r\n")
	}
	for _, h := range headers {
		req.WriteString(h + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&req, "Content-Length: %d\r\n", len(body))
	}
	req.WriteString("\r\n" + body)
	if _, err := c.Write(req.Bytes()); err != nil {
		a.t.Fatal(err)
	}
	return bufio.NewReader(c)
}

// head reads the head of an answer.
func (a *app) head(r *bufio.Reader) (status string, header http.Header) {
	a.t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return res.Status, res.Header
}

// lines reads lines of a stream up to an empty one, past the empty ones before
// it.
func (a *app) lines(r *bufio.Reader) (block []string) {
	a.t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			a.t.Fatalf("after %q: %v", block, err)
		}
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			block = append(block, line)
		} else if block != nil {
			return block
		}
	}
}

const cursor = `a[0-9]+\.[A-Za-z0-9_-]{16}`

func matches(t *testing.T, lines []string, patterns ...string) {
	t.Helper()
	if len(lines) != len(patterns) {
		t.Errorf("lines %q, want %q", lines, patterns)
		return
	}
	for i, p := range patterns {
		if !regexp.MustCompile("^" + p + "$").MatchString(lines[i]) {
			t.Errorf("line %q, want %s", lines[i], p)
		}
	}
}

// curl -N http://127.0.0.1:8080/push/topics/wall
func TestCurlStream(t *testing.T) {
	a := wall(t)
	r := a.curl("GET", "/push/topics/wall", "")
	status, header := a.head(r)
	if status != "200 OK" || header.Get("Content-Type") != "text/event-stream" || header.Get("Cache-Control") != "no-store, no-transform" ||
		header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("%s %v", status, header)
	}
	block := a.lines(r)
	if !regexp.MustCompile(`^retry: [0-9]+$`).MatchString(block[0]) {
		t.Errorf("the stream begins with %q", block[0])
	}
	if block = block[1:]; len(block) == 0 {
		block = a.lines(r)
	}
	matches(t, block, "id: "+cursor, "event: push.open", `data: \{"connection":"[A-Za-z0-9_-]{30}","topics":\["wall"\],"heartbeat":25000\}`)
	for _, text := range []string{"hi", "again"} {
		a.expect(http.StatusCreated, a.do("POST", "/push/topics/wall", `{"text":"`+text+`"}`, "Content-Type: application/json", "Push-Event: post"))
		matches(t, a.lines(r), "id: "+cursor, "event: post", `data: \{"text":"`+text+`"\}`)
	}
}

// curl -i -d '{"text":"hi"}' -H 'Content-Type: application/json' -H 'Push-Event: post' http://127.0.0.1:8080/push/topics/wall
func TestCurlPublish(t *testing.T) {
	a := wall(t)
	r := a.curl("POST", "/push/topics/wall", `{"text":"hi"}`, "Content-Type: application/json", "Push-Event: post")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.Status != "201 Created" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	matches(t, []string{strings.TrimSpace(string(body)), res.Header.Get("Location")}, `\{"id":"`+cursor+`"\}`, `/push/topics/wall\?id=`+cursor)
	one := a.expect(http.StatusOK, a.get(res.Header.Get("Location")))
	matches(t, []string{strings.TrimSpace(one.body)},
		`\{"id":"`+cursor+`","topic":"wall","event":"post","type":"application/json",`+`"time":"[-0-9T:.]+Z","data":\{"text":"hi"\}\}`)

	refused := a.expect(http.StatusUnprocessableEntity, a.do("POST", "/push/topics/wall", `{"text":""}`, "Content-Type: application/json"))
	matches(t, []string{strings.TrimSpace(refused.body)}, `\{"title":"Unprocessable Entity","status":422,"detail":"a post has 1 to 280 characters of text"\}`)
	// curl -d without -H sends this type; other topics are open
	a.expect(http.StatusCreated, a.do("POST", "/push/topics/else", `a=b`, "Content-Type: application/x-www-form-urlencoded"))
}

// curl -H 'Accept: application/json' 'http://127.0.0.1:8080/push/topics/wall?limit=20'
func TestCurlHistory(t *testing.T) {
	a := wall(t)
	for range 25 {
		a.publish("wall", `x`)
	}
	got := a.expect(http.StatusOK, a.get("/push/topics/wall?limit=20"))
	var page struct {
		Items       []json.RawMessage
		Gap         *string
		First, Last string
	}
	a.decode(got, &page)
	if len(page.Items) != 20 || page.Gap != nil || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d items, gap %v, %v", len(page.Items), page.Gap, got.Header)
	}
	matches(t, []string{page.First, page.Last, got.Header.Get("Etag")}, cursor, cursor, `"[A-Za-z0-9_-]+"`)
	again := a.expect(http.StatusNotModified, a.get("/push/topics/wall?limit=20", "If-None-Match: "+got.Header.Get("Etag")))
	if again.body != "" {
		t.Errorf("304 with %q", again.body)
	}
}

// curl -H 'Accept: application/json' -H 'Prefer: wait=25' 'http://127.0.0.1:8080/push/topics/wall?after=<id>'
func TestCurlLongPoll(t *testing.T) {
	a := wall(t)
	id := a.publish("wall", "x")[0].String()
	r := a.curl("GET", "/push/topics/wall?after="+id, "", "Accept: application/json", "Prefer: wait=25")
	<-a.opened // it waits
	a.publish("wall", "news")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Items []struct{ Data string }
		Last  string
	}
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || len(page.Items) != 1 || page.Items[0].Data != "news" || res.Header.Get("Preference-Applied") != "wait=25" {
		t.Errorf("%s %v %+v", res.Status, res.Header, page)
	}
}

// curl -N -H 'Last-Event-ID: <id>' -H 'Accept: text/event-stream' 'http://127.0.0.1:8080/push/events?topic=wall&topic=news'
func TestCurlResumeOfManyTopics(t *testing.T) {
	a := wall(t)
	id := a.publish("wall", "seen")[0].String()
	a.publish("news", "1")
	a.publish("other", "not mine")
	a.publish("wall", "2")
	r := a.curl("GET", "/push/events?topic=wall&topic=news", "", "Last-Event-ID: "+id, "Accept: text/event-stream")
	if status, _ := a.head(r); status != "200 OK" {
		t.Fatal(status)
	}
	block := a.lines(r)
	if block = block[1:]; len(block) == 0 {
		block = a.lines(r)
	}
	matches(t, block, "id: "+regexp.QuoteMeta(id), "event: push.open", `data: \{"connection":".*","topics":\["wall","news"\],"heartbeat":25000\}`)
	matches(t, a.lines(r), "id: "+cursor, "data: 1")
	matches(t, a.lines(r), "id: "+cursor, "data: 2")
}

func TestWebSocketWithPushV1(t *testing.T) {
	a := wall(t)
	c, _ := a.dial("/push/topics/wall", "push.v1")
	if c == nil || c.Subprotocol() != "push.v1" {
		t.Fatal("no WebSocket with push.v1")
	}
	c.expect("push.open")
	if err := c.Write(c.ctx, websocket.MessageText, []byte(`{"action":"publish","ref":"1","event":"post","data":{"text":"hi"}}`)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for range 2 {
		_, b, err := c.Read(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		var env struct{ Event, Topic, Ref string }
		if err := json.Unmarshal(b, &env); err != nil {
			t.Fatal(err)
		}
		seen[env.Event] = string(b)
	}
	matches(t, []string{seen["post"], seen["push.reply"]},
		`\{"id":"`+cursor+`","topic":"wall","event":"post","type":"application/json","time":".*","data":\{"text":"hi"\}\}`,
		`\{"event":"push.reply","ref":"1","data":\{"id":"`+cursor+`"\}\}`)
}

func TestWebSocketWithNoSubprotocol(t *testing.T) {
	a := wall(t)
	c, _ := a.dial("/push/topics/wall", "")
	if c == nil || c.Subprotocol() != "" {
		t.Fatal("no WebSocket without a subprotocol")
	}
	if err := c.Write(c.ctx, websocket.MessageText, []byte(`{"text":"from a device"}`)); err != nil {
		t.Fatal(err)
	}
	if kind, b, err := c.Read(c.ctx); err != nil || kind != websocket.MessageText || string(b) != `{"text":"from a device"}` {
		t.Errorf("%v %s %v, want the raw payload", kind, b, err)
	}
	if _, err := a.hub.Publish(c.ctx, push.Event{Topic: "wall", ContentType: "image/png", Data: []byte{0, 255}}); err != nil {
		t.Fatal(err)
	}
	if kind, b, err := c.Read(c.ctx); err != nil || kind != websocket.MessageBinary || !bytes.Equal(b, []byte{0, 255}) {
		t.Errorf("%v %q %v, want a binary frame", kind, b, err)
	}
	if err := c.Write(c.ctx, websocket.MessageText, []byte(`{"text":""}`)); err != nil {
		t.Fatal(err)
	}
	if code := c.closed(); code != push.ClosePolicy {
		t.Errorf("a post that is refused closes with %d, want 1008", code)
	}
}
