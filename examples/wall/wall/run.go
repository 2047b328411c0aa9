package wall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Run serves a wall until ctx ends, and then drains it. It says on out where the
// wall is.
func Run(ctx context.Context, addr string, w *Wall, out io.Writer) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
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
	return w.drain(server)
}

// drain lets load balancers see that the wall is about to go, and then ends the
// streams before the server: Server.Shutdown would wait for the EventSources for
// ever and does not know the WebSockets.
func (w *Wall) drain(server *http.Server) error {
	w.leaving.Store(true)
	time.Sleep(w.Grace)
	ctx, cancel := context.WithTimeout(context.Background(), w.drainTime())
	defer cancel()
	err := w.hub.Shutdown(ctx)
	if server.Shutdown(ctx) != nil { // browsers connect ahead, which counts as a request for five seconds
		_ = server.Close()
	}
	return err
}

// drainTime bounds how long the streams and the server take to end.
func (w *Wall) drainTime() time.Duration { return 2*w.DrainWindow + time.Second }

// health answers GET /healthz, always: the process lives. GET /readyz is 503
// while the wall cannot reach its log, and once it is about to go.
func (w *Wall) health(res http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		err := w.hub.Ready()
		if w.leaving.Load() {
			err = errors.New("about to go")
		}
		if err != nil {
			http.Error(res, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(res, "ok")
}
