package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

// asProgram makes the test binary be the wall.
const asProgram = "WALL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// program is the wall as a process of its own.
type program struct {
	cmd *exec.Cmd
	out *bufio.Scanner
	url string
}

func start(t *testing.T) *program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=halt_on_error=1")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: cmd, out: bufio.NewScanner(out)}
	p.out.Scan()
	url, ok := strings.CutPrefix(p.out.Text(), "The wall is on ")
	if !ok {
		t.Fatalf("the wall said %q", p.out.Text())
	}
	p.url = url
	return p
}

// drain sends a signal and returns how the wall ended.
func (p *program) drain(t *testing.T, signal os.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for p.out.Scan() { // until its output ends
	}
	return p.cmd.Wait()
}

func (p *program) get(t *testing.T, path, accept string) *http.Response {
	t.Helper()
	return p.ask(t, path, accept, http.NoBody)
}

func (p *program) ask(t *testing.T, path, accept string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestThePageIsServedWithItsGuards(t *testing.T) {
	t.Parallel()
	p := start(t)
	for path, media := range map[string]string{
		"/": "text/html", "/wall.js": "text/javascript", "/link.js": "text/javascript", "/view.js": "text/javascript",
		"/composer.js": "text/javascript", "/wall.css": "text/css", "/favicon.svg": "image/svg+xml",
	} {
		res := p.get(t, path, "*/*")
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), media) {
			t.Errorf("%s: %s, %s", path, res.Status, res.Header.Get("Content-Type"))
		}
		if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the content policy is %q", path, policy)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if res := p.get(t, path, "*/*"); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	if res := p.get(t, "/nothing", "*/*"); res.StatusCode != http.StatusNotFound {
		t.Errorf("/nothing: %s, want 404", res.Status)
	}
	if err := p.drain(t, os.Interrupt); err != nil {
		t.Errorf("the wall ended with %v", err)
	}
}

// TestSignalDrainsLiveStreams guards against http.Server.Shutdown, which forgets the
// streams that have taken their connection, and hangs on the others.
func TestSignalDrainsLiveStreams(t *testing.T) {
	t.Parallel()
	p := start(t)
	streams := []*http.Response{
		p.get(t, "/push/topics/wall", "text/event-stream"),
		p.ask(t, "/push/topics/wall", "text/event-stream", strings.NewReader("{}")), // with a body it cannot take its connection
	}
	socket, _, err := websocket.Dial(t.Context(), p.url+"/push/topics/wall", &websocket.DialOptions{Subprotocols: []string{"push.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }()
	http.DefaultClient.CloseIdleConnections()

	begun := time.Now()
	if err := p.drain(t, syscall.SIGTERM); err != nil {
		t.Errorf("the wall ended with %v", err)
	}
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("draining took %v", took)
	}
	for _, stream := range streams {
		body, err := io.ReadAll(stream.Body)
		if err != nil || !strings.Contains(string(body), "event: push.close") || !strings.Contains(string(body), "retry:") {
			t.Errorf("the EventSource was told %q, %v; want a push.close and when to come back", body, err)
		}
	}
	if code := readToEnd(t.Context(), socket); code != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket was closed with %d, want 1012", code)
	}
}

// A browser opens connections that it may never use: they must not make an orderly
// end an error.
func TestConnectionThatWasOpenedAheadIsNoErrorAtTheEnd(t *testing.T) {
	t.Parallel()
	p := start(t)
	ahead, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ahead.Close() }()
	p.get(t, "/healthz", "*/*") // the server has taken that one before
	if err := p.drain(t, syscall.SIGTERM); err != nil {
		t.Errorf("the wall ended with %v", err)
	}
}

// readToEnd reads messages until the end and returns its code.
func readToEnd(ctx context.Context, socket *websocket.Conn) websocket.StatusCode {
	for {
		if _, _, err := socket.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestAPostIsAnsweredAndInTheHistory(t *testing.T) {
	t.Parallel()
	p := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/push/topics/wall", strings.NewReader(`{"text":" hi "}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Push-Event", "post")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusCreated || res.Header.Get("Location") == "" {
		t.Errorf("POST: %s, Location %q", res.Status, res.Header.Get("Location"))
	}
	var page struct {
		Items []struct {
			Event string `json:"event"`
			Data  struct {
				Text string `json:"text"`
			} `json:"data"`
		} `json:"items"`
	}
	if err := json.NewDecoder(p.get(t, "/push/topics/wall?limit=20", "application/json").Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 1 || page.Items[0].Event != "post" || page.Items[0].Data.Text != "hi" {
		t.Errorf("the history is %+v", page)
	}
	if err := p.drain(t, syscall.SIGTERM); err != nil {
		t.Errorf("the wall ended with %v", err)
	}
}
