package wall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/examples/internal/serve"
)

// Run serves a wall until ctx ends, and then drains it. It says on out where the
// wall is.
func Run(ctx context.Context, addr string, w *Wall, out io.Writer) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The wall is on http://%s\n", l.Addr())
	within := w.Grace + 2*w.DrainWindow + time.Second
	return serve.Until(ctx, l, w.handler(), within, func(ctx context.Context) error {
		fmt.Fprintln(out, "Draining.")
		w.leaving.Store(true)
		time.Sleep(w.Grace) // load balancers see it
		return w.hub.Shutdown(ctx)
	})
}

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
