package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dualpush-go/dualpush/examples/internal/serve"
)

type options struct {
	addr, public, issuer string
	tokenLife            time.Duration
	acceptJWT            bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "the address to listen on")
	flag.StringVar(&o.public, "public", "", "scheme and host as browsers see them (default http://addr)")
	flag.DurationVar(&o.tokenLife, "token-life", 2*time.Minute, "how long access tokens of the own provider live")
	flag.StringVar(&o.issuer, "issuer", "", "use this identity provider, and start none")
	flag.BoolVar(&o.acceptJWT, "jwt", false, "accept access tokens of the type JWT, from providers that do not know RFC 9068")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oauth:", err)
		os.Exit(1)
	}
}

// run serves the app until ctx ends, and then drains it.
func run(ctx context.Context, o options, out io.Writer) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	if o.public == "" {
		o.public = "http://" + l.Addr().String()
	}
	secret := newSecret()
	if o.issuer == "" {
		p, err := startProvider(ctx, o.public, secret, o.tokenLife, out)
		if err != nil {
			return err
		}
		defer p.stop()
		o.issuer = p.issuer
	}
	a, err := newApp(o, secret)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The app is on %s, its identity provider on %s\n", o.public, o.issuer)
	return serve.Until(ctx, l, a.handler(), 5*time.Second, func(ctx context.Context) error {
		fmt.Fprintln(out, "Draining.")
		return a.hub.Shutdown(ctx)
	})
}
