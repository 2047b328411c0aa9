package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "node" {
		return runNode(ctx, args[1:], os.Stdout)
	}
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	var opts options
	flags.IntVar(&opts.nodes, "nodes", 3, "how many nodes there are")
	flags.DurationVar(&opts.drain, "drain", 2*time.Second, "the time over which a node that is restarted ends its streams")
	flags.DurationVar(&opts.every, "every", 50*time.Millisecond, "the time between two numbered events")
	_ = flags.Parse(args) // it exits
	return runCluster(ctx, *addr, opts, os.Stdout)
}
