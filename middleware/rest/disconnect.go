package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// disconnection is what nodes are told to end.
type disconnection struct {
	Whose  Revocation    `json:"whose"`
	Code   int           `json:"code"`
	Reason string        `json:"reason"`
	Retry  time.Duration `json:"retry,omitempty"`
}

// Disconnect ends the streams and waiting polls of whoever has all the members
// of whose that are set, within a second, on every node that shares the hub's log
// and can reach it. It voids nothing: who is to stay out needs Revoke, which
// reaches nodes that are cut off, too. A nil why is CloseForbidden: clients stay
// away. An error that is a *Problem with status 400 says that whose is empty;
// after any other try again.
func (h *Handler) Disconnect(ctx context.Context, whose Revocation, why *push.CloseError) error {
	if whose == (Revocation{}) {
		return problemf(http.StatusBadRequest, "say whose streams are to end: sub, sid or jti")
	}
	if why == nil {
		why = &push.CloseError{Code: push.CloseForbidden, Reason: "disconnected by the server"}
	}
	return asHubError(h.tell(ctx, note{End: &disconnection{whose, why.Code, why.Reason, why.Retry}}))
}

// end ends the streams here.
func (h *Handler) end(d *disconnection) {
	for _, c := range h.conns.all() {
		if d.Whose.names(c.principal()) {
			c.logEnded(d.Reason)
			c.sub.Disconnect(&push.CloseError{Code: d.Code, Reason: d.Reason, Retry: d.Retry})
		}
	}
}
