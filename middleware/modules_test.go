package middleware_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Who uses push and middleware must not get the versions of things that only
// brokers or tests of other modules need: that would lift a user's own.
func TestUsersOfTheMiddlewareGetNoBrokersModules(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/dualpush-go/dualpush"
	for name, text := range map[string]string{
		"go.mod": "module example.com/app\n\ngo 1.26.0\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n",
		"go.sum": string(sums),
		"app.go": "package app\n\nimport (\n\t_ \"" + module + "/middleware\"\n\t_ \"" + module + "/push\"\n)\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "list", "-mod=mod", "-m", "all")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "github.com/labstack/echo/v4 ") {
		t.Fatalf("this is no list of what the middleware needs: %s", out)
	}
	for line := range strings.Lines(string(out)) {
		for _, name := range []string{"nats", "redis", "kin-openapi", "centrifug", "mercure", module + "/"} {
			if strings.Contains(line, name) {
				t.Errorf("a user gets %s", line)
			}
		}
	}
}
