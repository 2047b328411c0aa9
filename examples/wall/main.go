package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
	heartbeat := flag.Duration("heartbeat", 0, "the silence after which a stream says that it is alive (default 25s)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, *addr, *heartbeat, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "wall:", err)
		os.Exit(1)
	}
}

// run serves the wall until ctx ends, and then drains it.
func run(ctx context.Context, addr string, heartbeat time.Duration, out io.Writer) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	w := newWall(heartbeat)
	server := &http.Server{
		Handler:           w.handler(),
		ReadHeaderTimeout: 5 * time.Second, // no WriteTimeout: streams have deadlines of their own
		IdleTimeout:       2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	fmt.Fprintf(out, "The wall is on http://%s\n", l.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(out, "Draining.")
	return drain(w, server)
}

// drainTime bounds how long a wall takes to end.
const drainTime = 5 * time.Second

// drain ends the streams first: Server.Shutdown would wait for the EventSources
// for ever and does not know the WebSockets.
func drain(w *wall, server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := w.hub.Shutdown(ctx)
	return errors.Join(err, server.Shutdown(ctx))
}
