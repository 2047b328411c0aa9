package middleware_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// curlLine is a line of examples/README.md: a command and the status it says.
var curlLine = regexp.MustCompile(`(?m)^ {4}(curl .*\S) +# (\d{3})$`)

// readmeApp is a mount for the lines of examples/README.md: like the wall, and
// the token is ann's.
func readmeApp(t *testing.T) *app {
	a := newApp(t)
	cfg := a.config()
	all := []push.Grant{push.Sub("**"), push.Pub("**"), push.Presence("**"), push.Manage("**")}
	cfg.Auth = middleware.AuthFunc(func(r *http.Request) (*middleware.Principal, error) {
		if r.Header.Get("Authorization") == "Bearer secret" {
			return &middleware.Principal{Subject: "ann", Grants: all}, nil
		}
		return &middleware.Principal{Grants: all[:3]}, nil
	})
	cfg.Presence = middleware.Presence{Topics: []string{"wall"}}
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	return a.start()
}

// connection opens a stream and returns its name.
func (a *app) connection(headers ...string) string {
	a.t.Helper()
	var open struct{ Connection string }
	if err := json.Unmarshal(a.open("/push/topics/wall", headers...).expect("push.open").Data, &open); err != nil {
		a.t.Fatal(err)
	}
	return open.Connection
}

// Every line of examples/README.md is what a shell and curl make of it, and has
// the status that it says; and no resource is left out.
func TestCurlLinesOfTheReadme(t *testing.T) {
	text, err := os.ReadFile("../examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is missing: make install")
	}
	a := readmeApp(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "logo.png"), []byte("\x89PNG\r\n\x1a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const bearer = "Authorization: Bearer secret"
	var ticket struct{ Ticket string }
	a.decode(a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/tickets", `{"topics":["chat/room"]}`, bearer)), &ticket)
	first := a.publish("wall", "x", "y")[0] // of two: a long poll has something to answer
	env := []string{"id=" + first.String(), "cid=" + a.connection(), "mine=" + a.connection(bearer), "token=secret", "ticket=" + ticket.Ticket}
	lines := curlLine.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "\n    curl "); n != len(lines) || n < 20 {
		t.Errorf("%d lines with curl, %d of them with a status", n, len(lines))
	}
	used := map[string]bool{}
	for _, l := range lines {
		if strings.Contains(l[1], "credentials\\\"") { // for mounts that take tokens: the tests of examples/oauth run it
			continue
		}
		command := strings.ReplaceAll(l[1], "http://127.0.0.1:8080", a.URL)
		most := "10"
		if strings.Contains(command, " -N ") { // a stream: it has begun by then
			most = "1"
		}
		command = strings.Replace(command, "curl ", curl+" -s -o answer -w '%{method} %{http_code}' --max-time "+most+" ", 1)
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, _ := cmd.Output() // a stream is ended by --max-time, which is an error
		method, status, _ := strings.Cut(string(out), " ")
		if status != l[2] {
			answer, _ := os.ReadFile(filepath.Join(dir, "answer"))
			t.Errorf("%s\nanswers %q, not %s: %s", l[1], out, l[2], answer)
		}
		used[method+" "+resourceOf(l[1])] = true
	}
	a.leavesOut(used)
}

// resourceOf returns the resource of a line, as openapi.json writes it.
func resourceOf(line string) string {
	path := regexp.MustCompile(`/push(/[^ ?"']*)`).FindStringSubmatch(line)[1]
	path = regexp.MustCompile(`^/(topics|presence)/.*`).ReplaceAllString(path, "/$1/{topic}")
	return regexp.MustCompile(`\$\w+`).ReplaceAllString(path, "{cid}")
}

// leavesOut fails for operations that no line shows.
func (a *app) leavesOut(used map[string]bool) {
	a.t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	a.decode(a.expect(http.StatusOK, a.get("/push/openapi.json")), &doc)
	for path, item := range doc.Paths {
		for method := range item {
			if method == "parameters" || strings.HasSuffix(path, ".js") {
				continue
			}
			if name := strings.ToUpper(method) + " " + path; !used[name] {
				a.t.Errorf("examples/README.md has no line for %s", name)
			}
		}
	}
}
