package ws

import (
	"net/http"

	"github.com/dualpush-go/dualpush/push"
)

// Refuse answers a handshake and ends the connection at once with why's code
// and reason. A script in a browser cannot see the status of a handshake that
// failed: so this is for what its page can mend. Errors are those of Serve
// before the handshake. It waits up to 2 s for the client.
func Refuse(w http.ResponseWriter, r *http.Request, why *push.CloseError, opts *Options) error {
	s, err := newSession(w, r, nil, opts)
	if err != nil {
		return err
	}
	s.conn.writeClose(closeFrame(why.Code, why.Reason))
	s.conn.drain()
	_ = s.conn.Conn.Close()
	_ = s.ws.CloseNow()
	return nil
}
