package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// Node is a node of a Fleet.
type Node struct {
	URL  string
	Kill func() // at once; returns when it is gone
}

// Main is the whole main function of a node that is a process of its own: it
// writes its URL to standard output and serves there a mount over b, until it is
// killed or its standard input ends.
func Main(b push.Broker) error {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "http://"+l.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return Serve(ctx, l, b)
}

// Serve serves a mount over b to the clients of a Fleet until ctx ends; then it
// shuts everything down.
func Serve(ctx context.Context, l net.Listener, b push.Broker) error {
	hub := push.NewHub(b, push.WithDrainWindow(0))
	mount, err := rest.New(rest.Config{
		Hub: hub, Auth: rest.AuthFunc(granted),
		Heartbeat: time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("POST /publish", publishHandler(hub))
	mux.Handle("/", mount)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	var stopped sync.WaitGroup
	stopped.Go(func() {
		<-ctx.Done()
		ended, cancel := context.WithCancel(context.Background())
		cancel() // nobody waits for its clients
		_ = server.Close()
		_ = hub.Shutdown(ended)
	})
	err = server.Serve(l)
	stopped.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// StartProcess starts a process whose main function is Main. Its Kill is
// kill -9.
func StartProcess(cmd *exec.Cmd) (Node, error) {
	in, err := cmd.StdinPipe() // a node does not outlive whom it works for
	if err != nil {
		return Node{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Node{}, err
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return Node{}, err
	}
	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		kill()
		return Node{}, fmt.Errorf("fleet: the node did not write its URL: it must call Main: %w", err)
	}
	return Node{URL: strings.TrimSpace(line), Kill: kill}, nil
}
