package ws

import (
	"context"
	"net/http"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/direct"
	"github.com/dualpush-go/dualpush/push/wire"
)

// Start is Serve for a connection that may outlive its handler. Over plain TCP
// the hub writes it, it has a goroutine only while there is something to read,
// and Start returns at once; r's context then ends nothing, and only its values are passed on.
// Anywhere else it blocks as Serve does. Either way ended is called once, with
// what Serve would return, when the connection is over; the caller closes sub
// there. An error means that there was no handshake, as with Serve, and that
// ended is not called.
//
// IT DOES NOT CHECK THE ORIGIN: see Serve.
func Start(w http.ResponseWriter, r *http.Request, sub *push.Subscription, opts *Options, ended func(error)) error {
	h, err := Check(w, r)
	if err != nil {
		return err
	}
	return h.Start(sub, opts, ended)
}

// Start is Start for a request that Check has let pass. After an error nothing is
// left to answer.
func (h *Handshake) Start(sub *push.Subscription, opts *Options, ended func(error)) error {
	s, err := h.session(sub, opts, true)
	if err != nil {
		return err
	}
	d := s.conn.direct
	if d == nil {
		ended(s.run(h.r.Context()))
		return nil
	}
	st := sub.NewStream(written{d, s.conn}, s.frames(), func(err error) {
		s.conn.stream.Store(nil)
		if end := wire.Ending(err); end != nil {
			s.tell(end)
			err = end
		}
		err = s.finish(err)
		s.release()
		ended(err)
	})
	s.conn.stream.Store(st)
	s.begin(context.WithoutCancel(h.r.Context()))
	st.Start()
	return nil
}

// written is a connection that the hub writes.
type written struct {
	*direct.Conn
	conn *conn
}

// Write implements push.Conn. It waits for the client, and if that fails no
// close frame can follow.
func (w written) Write(b []byte) (int, error) {
	c := w.conn
	c.lock <- struct{}{}
	defer c.unlock()
	if err := c.writeLocked(b); err != nil {
		return 0, err
	}
	c.lift()
	return len(b), nil
}
