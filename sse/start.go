package sse

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/direct"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse/internal/respond"
)

// Start is Serve for a stream that may outlive its handler. Over plain TCP and
// HTTP/1.1 it takes the connection over, has the hub write it, and returns at
// once: then the stream costs no goroutine, and r's context has nothing to say
// any more. Anywhere else it blocks as Serve does. Either way ended is called
// once, with what Serve would return, when the stream is over (with an error
// that wraps push.ErrGone if the client left the hub's own); the caller closes
// sub there. An error means that nothing was written, and that ended is
// not called.
func Start(w http.ResponseWriter, r *http.Request, sub *push.Subscription, opts *Options, ended func(error)) error {
	if r.Method != http.MethodGet || !direct.Able(direct.Innermost(w), r) {
		err := Serve(w, r, sub, opts)
		if errors.Is(err, ErrNoFlush) {
			return err
		}
		ended(err)
		return nil
	}
	o := opts.withDefaults()
	nc, err := hijack(w, &o)
	if err != nil {
		ended(err)
		return nil
	}
	if c := direct.NewWriter(nc, o.WriteTimeout); c != nil {
		o.stream(c, sub, ended)
		return nil
	}
	ended(o.pump(r.Context(), nc, sub))
	return nil
}

// hijack sends the head of the response by way of w, whose hooks run, and
// takes the connection: the body has no length and ends with it.
func hijack(w http.ResponseWriter, o *Options) (net.Conn, error) {
	h := w.Header()
	respond.Head(h, o.Format.ContentType())
	h.Set("Connection", "close")
	h.Set("Transfer-Encoding", "identity")
	w.WriteHeader(http.StatusOK)
	if o.Format != FormatNDJSON {
		if _, err := w.Write(appendRetry(nil, jitter(o.Retry))); err != nil {
			return nil, err
		}
	}
	rc := http.NewResponseController(w)
	if err := rc.Flush(); err != nil {
		return nil, err
	}
	nc, _, err := rc.Hijack()
	return nc, err
}

func (o *Options) stream(c *direct.Writer, sub *push.Subscription, ended func(error)) {
	format := o.Format
	st := sub.NewStream(c, format.frames(), func(err error) {
		if end := wire.Ending(err); end != nil {
			b, _ := format.AppendControl(nil, sub.Position(), wire.Close, wire.NewCloseData(end))
			_, _ = c.Write(b) // the stream ends in any case
			err = end
		}
		_ = c.Close()
		ended(err)
	})
	if err := c.Watch(st.Gone); err != nil {
		st.Gone(err)
	}
	st.Start() // last: whatever ends the stream stops the watch
}

// piece is how much pump writes under one deadline, in bytes.
const piece = 64 << 10

// pump writes to a connection that is not the system's own, such as one that
// somebody's listener has wrapped.
func (o *Options) pump(ctx context.Context, nc net.Conn, sub *push.Subscription) error {
	_ = nc.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(ctx, func() { _ = nc.Close() }) // frees a writer that waits for the client
	left := make(chan struct{})
	go func() {
		defer close(left)
		defer cancel(context.Canceled)
		var b [64]byte
		for {
			if _, err := nc.Read(b[:]); err != nil {
				return
			}
		}
	}()
	err := wire.Pump(ctx, sub, o.Format, func(b []byte) error {
		for p := range slices.Chunk(b, piece) {
			_ = nc.SetWriteDeadline(time.Now().Add(o.WriteTimeout)) // Write tells
			if _, err := nc.Write(p); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil && wire.Ending(err) == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.Cause(ctx)
	}
	_ = nc.Close()
	<-left
	return err
}
