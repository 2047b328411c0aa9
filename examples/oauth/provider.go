package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed provider/package.json provider/package-lock.json provider/provider.mjs
var providerFiles embed.FS

func newSecret() string { return rand.Text() }

// robotSecret is that of the client for curl: the provider is on the loopback
// interface, for whoever is on this machine.
const robotSecret = "robot"

// provider is the identity provider, a child process.
type provider struct {
	issuer string
	cmd    *exec.Cmd
	stdin  io.Closer
	errors bytes.Buffer // what it complained about; to be read once it has ended
}

// startProvider installs the provider, if it is not there yet, and starts it.
func startProvider(ctx context.Context, public, apiSecret string, tokenLife time.Duration, out io.Writer) (*provider, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing: install Node.js 20.19 or newer for the example's identity provider, or name another with -issuer", tool)
		}
	}
	dir, err := installProvider(ctx, out)
	if err != nil {
		return nil, fmt.Errorf("installing the identity provider: %w", err)
	}
	p := &provider{cmd: exec.Command("node", "provider.mjs")}
	p.cmd.Dir, p.cmd.Stderr = dir, &p.errors
	p.cmd.Env = append(os.Environ(), "APP="+public, "API="+public+"/push", "API_SECRET="+apiSecret, "ROBOT_SECRET="+robotSecret,
		fmt.Sprintf("TOKEN_LIFE=%d", int(tokenLife/time.Second)))
	if p.stdin, err = p.cmd.StdinPipe(); err != nil { // the child ends with it: so it never outlives us
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if issuer, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			p.issuer = issuer
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return p, nil
		}
	}
	p.stop()
	return nil, errors.New("the identity provider did not start:\n" + p.errors.String())
}

func (p *provider) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Wait() // it ends because of that
}

// installProvider unpacks the provider into the user's cache and installs what
// it needs there, once for each version.
func installProvider(ctx context.Context, out io.Writer) (dir string, err error) {
	files, err := fs.Sub(providerFiles, "provider")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	version, err := digest(files)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "dualpush-example-oauth", version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fmt.Fprintln(out, "Installing the identity provider (npm ci), this once.")
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := os.CopyFS(fresh, files); err != nil {
		return "", err
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = fresh
	if text, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, text)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another start was faster
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// digest names a version of the provider.
func digest(files fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}
