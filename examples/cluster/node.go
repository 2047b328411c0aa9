package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/examples/wall/wall"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// nodeOptions are what the flags of a node say.
type nodeOptions struct {
	wall.Options
	addr        string
	nats, redis string // one of them is used: that of Redis, if it is not empty
	replicas    int
	child       bool
}

// parseNode reads the flags of a node.
func parseNode(args []string, handling flag.ErrorHandling) (o nodeOptions, err error) {
	host, _ := os.Hostname()
	flags := flag.NewFlagSet("cluster node", handling)
	flags.StringVar(&o.addr, "addr", ":8080", "the address to listen on")
	flags.StringVar(&o.nats, "nats", cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), "the servers of NATS (or $NATS_URL)")
	flags.StringVar(&o.redis, "redis", os.Getenv("REDIS_URL"), "the server of Redis, in place of NATS (or $REDIS_URL)")
	flags.IntVar(&o.replicas, "replicas", 1, "how many servers of NATS keep each event; all nodes must say the same")
	flags.StringVar(&o.Node, "name", cmp.Or(os.Getenv("NODE_NAME"), host), "the node's name (or $NODE_NAME)")
	flags.DurationVar(&o.Heartbeat, "heartbeat", 0, "the silence after which a stream says that it is alive (default 25s)")
	flags.DurationVar(&o.DrainWindow, "drain", 2*time.Second, "the time over which the streams are ended")
	flags.DurationVar(&o.Grace, "grace", 0, "the time before, in which load balancers see that the node is not ready any more")
	flags.Func("proxies", "the addresses and CIDRs of load balancers, with commas between", func(s string) error {
		o.TrustedProxies = strings.Split(s, ",")
		return nil
	})
	flags.BoolVar(&o.child, "child", false, "end when standard input does")
	err = flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("what is %q?", flags.Arg(0))
	}
	return o, err
}

// runNode serves one node until ctx ends, and then drains it.
func runNode(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseNode(args, flag.ExitOnError)
	if err != nil {
		return err
	}
	broker, disconnect, err := o.broker()
	if err != nil {
		return err
	}
	defer disconnect()
	if o.child {
		signal.Ignore(os.Interrupt) // a terminal sends it to the parent, too, and a second signal would end us at once
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
			cancel()
		}()
	}
	return wall.Run(ctx, o.addr, wall.New(broker, o.Options), out)
}

// broker connects to the log. disconnect is for after the hub.
func (o *nodeOptions) broker() (b push.Broker, disconnect func(), err error) {
	if o.redis != "" {
		opts, err := redis.ParseURL(o.redis)
		if err != nil {
			return nil, nil, err
		}
		rdb := redis.NewClient(opts)
		return redisbroker.New(rdb), func() { _ = rdb.Close() }, nil
	}
	nc, err := nats.Connect(o.nats, nats.Name(o.Node), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(500*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	return natsbroker.NewWithConfig(js, natsbroker.Config{Replicas: o.replicas}), nc.Close, nil
}
