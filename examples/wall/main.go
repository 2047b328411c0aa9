package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dualpush-go/dualpush/examples/wall/wall"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
	heartbeat := flag.Duration("heartbeat", 0, "the silence after which a stream says that it is alive (default 25s)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := wall.Run(ctx, *addr, wall.New(wall.Memory(), wall.Options{Heartbeat: *heartbeat}), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "wall:", err)
		os.Exit(1)
	}
}
