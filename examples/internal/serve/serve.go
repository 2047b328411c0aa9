// Package serve is how the examples serve, and how they end.
package serve

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Until serves h on l until ctx ends, and then drains within a time. drain ends
// the streams, before the server: Server.Shutdown does not know those that have
// taken their connection, and would wait for the others, as over HTTP/2, for ever.
func Until(ctx context.Context, l net.Listener, h http.Handler, within time.Duration, drain func(context.Context) error) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second, // no WriteTimeout: streams have deadlines of their own
		IdleTimeout:       2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err := drain(ctx)
	if server.Shutdown(ctx) != nil { // browsers connect ahead, which counts as a request for five seconds
		_ = server.Close()
	}
	return err
}
