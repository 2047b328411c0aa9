package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) *httptest.Server {
	hub := push.New()
	return start(t, hub, httptest.NewUnstartedServer(newApp(hub)))
}

func start(t *testing.T, hub *push.Hub, srv *httptest.Server) *httptest.Server {
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := hub.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return srv
}

func get(t *testing.T, url, accept string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	return resp
}

// What pushload asks for must come out at /push, each event to its topic with
// its own count.
func TestBurstsReachTheMount(t *testing.T) {
	srv := serve(t)
	lines := bufio.NewScanner(get(t, srv.URL+"/push/topics/1", "text/event-stream").Body)
	if body, _ := io.ReadAll(get(t, srv.URL+"/burst?n=6&size=100&topics=2&first=40", "*/*").Body); string(body) != "ok" {
		t.Fatalf("/burst: %q", body)
	}
	var got []string
	for len(got) < 3 && lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), `data: {"m":"~PL~`); ok {
			got = append(got, data[20:30])
			if len(lines.Text()) != len("data: ")+100 {
				t.Errorf("%d bytes of data, want 100: %s", len(lines.Text())-6, lines.Text())
			}
		}
	}
	if want := "0000000040 0000000041 0000000042"; strings.Join(got, " ") != want {
		t.Errorf("topic 1 got %q, want %q", got, want)
	}
}

// Floors and peers do not look into the payload: if ours did, they would not be
// compared.
func TestThePayloadIsOpaque(t *testing.T) {
	srv := serve(t)
	get(t, srv.URL+"/burst?n=1&size=100&topics=1", "*/*")
	body, _ := io.ReadAll(get(t, srv.URL+"/push/topics/0", "application/json").Body)
	var page struct {
		Items []struct {
			Type string
			Data any
		}
	}
	if err := json.Unmarshal(body, &page); err != nil || len(page.Items) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	item := page.Items[0]
	if _, text := item.Data.(string); !text || !strings.HasPrefix(item.Type, "text/plain") {
		t.Errorf("published as %s: %T", item.Type, item.Data)
	}
}

// The entries of the handler writer must measure it: a stream that the hub
// writes leaves its handler at once.
func TestForcedHandlerWriter(t *testing.T) {
	for _, force := range []bool{false, true} {
		hub := push.New()
		e := newApp(hub)
		left := make(chan struct{}, 3)
		e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				if strings.HasPrefix(c.Request().URL.Path, "/push") {
					defer func() { left <- struct{}{} }()
				}
				return next(c)
			}
		})
		if force {
			e.Pre(handlerWrites)
		}
		srv := start(t, hub, httptest.NewUnstartedServer(e))
		resp := get(t, srv.URL+"/push/topics/0", "text/event-stream")
		get(t, srv.URL+"/burst?n=1&size=100&topics=1", "*/*")
		if err := readUntil(resp.Body, "~PL~"); err != nil {
			t.Errorf("forced %v: %v", force, err)
		}
		if !force {
			<-left
			continue
		}
		select {
		case <-left:
			t.Error("the handler left its stream to the hub")
		default:
		}
	}
}

func TestAWrappedListenerDelivers(t *testing.T) {
	l, err := wrapped("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hub := push.New()
	srv := httptest.NewUnstartedServer(newApp(hub))
	_ = srv.Listener.Close()
	srv.Listener = l
	srv = start(t, hub, srv)
	resp := get(t, srv.URL+"/push/topics/0", "text/event-stream")
	get(t, srv.URL+"/burst?n=1&size=100&topics=1", "*/*")
	if err := readUntil(resp.Body, "~PL~"); err != nil {
		t.Error(err)
	}
}

func readUntil(r io.Reader, text string) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return nil
		}
	}
	return fmt.Errorf("the stream ended without %q: %w", text, lines.Err())
}

func TestGCSaysHowManyGoroutines(t *testing.T) {
	srv := serve(t)
	if body, _ := io.ReadAll(get(t, srv.URL+"/gc", "*/*").Body); !strings.HasPrefix(string(body), "goroutines ") {
		t.Errorf("/gc: %q", body)
	}
}

func TestABurstThatIsRefusedIsAnError(t *testing.T) {
	hub := push.New()
	srv := httptest.NewServer(newApp(hub))
	defer srv.Close()
	if err := hub.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Get(srv.URL + "/burst?n=1&size=100&topics=1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode < 500 {
		t.Errorf("a closed hub published: %s", resp.Status)
	}
}
