package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) *httptest.Server {
	hub := push.New()
	srv := httptest.NewServer(newApp(hub))
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
