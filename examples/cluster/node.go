package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/examples/wall/wall"
	"github.com/dualpush-go/dualpush/push/natsbroker"
)

// runNode serves one node until ctx ends, and then drains it.
func runNode(ctx context.Context, args []string, out io.Writer) error {
	host, _ := os.Hostname()
	flags := flag.NewFlagSet("cluster node", flag.ExitOnError)
	addr := flags.String("addr", ":8080", "the address to listen on")
	url := flags.String("nats", cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), "the servers of NATS (or $NATS_URL)")
	replicas := flags.Int("replicas", 1, "how many servers of NATS keep each event; all nodes must say the same")
	name := flags.String("name", cmp.Or(os.Getenv("NODE_NAME"), host), "the node's name (or $NODE_NAME)")
	heartbeat := flags.Duration("heartbeat", 0, "the silence after which a stream says that it is alive (default 25s)")
	drain := flags.Duration("drain", 2*time.Second, "the time over which the streams are ended")
	grace := flags.Duration("grace", 0, "the time before, in which load balancers see that the node is not ready any more")
	proxies := flags.String("proxies", "", "the addresses and CIDRs of load balancers, with commas between")
	child := flags.Bool("child", false, "end when standard input does")
	_ = flags.Parse(args) // it exits
	nc, err := nats.Connect(*url, nats.Name(*name), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	opts := wall.Options{Node: *name, Heartbeat: *heartbeat, DrainWindow: *drain, Grace: *grace}
	if *proxies != "" {
		opts.TrustedProxies = strings.Split(*proxies, ",")
	}
	if *child {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
			cancel()
		}()
	}
	return wall.Run(ctx, *addr, wall.New(natsbroker.NewWithConfig(js, natsbroker.Config{Replicas: *replicas}), opts), out)
}
