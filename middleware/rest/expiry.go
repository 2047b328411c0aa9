package rest

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// expiryNotice is how long before its credentials run out a stream is told, at
// most: of short ones the last quarter is left.
const expiryNotice = time.Minute

func noticeOf(left time.Duration) time.Duration { return min(expiryNotice, left/4) }

var errExpired = &push.CloseError{Code: push.CloseUnauthorized, Reason: "the credentials have expired: come back with new ones"}

// expireAt has the connection end when its credentials run out, and told
// before. One timer is all that this costs.
func (c *conn) expireAt(end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopExpiry()
	c.sub.SetExpiry(end)
	if !end.IsZero() && !c.closed {
		left := time.Until(end)
		c.notice = noticeOf(left)
		c.expiry = time.AfterFunc(left-c.notice, c.lookAtExpiry)
	}
}

func (c *conn) stopExpiry() {
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
}

// lookAtExpiry runs when the notice is due, and when the time is up.
func (c *conn) lookAtExpiry() {
	if c.isTimeUp() {
		c.logEnded(errExpired.Reason)
		c.sub.Disconnect(errExpired)
	}
}

// isTimeUp looks at the wall clock, which may have been set, and gives notice
// if it is near.
func (c *conn) isTimeUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry == nil { // replaced or closed meanwhile
		return false
	}
	end := c.sub.Expiry()
	left := time.Until(end)
	switch {
	case left <= 0:
		return true
	case left > c.notice:
		c.expiry.Reset(left - c.notice)
	default:
		c.sub.Notify(push.Control{Name: wire.Expiring, Data: wire.ExpiringData{Expires: end.UTC(), In: left.Milliseconds()}})
		c.expiry.Reset(left)
	}
	return false
}

// putCredentials answers PUT /connections/{cid}/credentials: the stream goes on
// with the credentials of this request.
func (q *request) putCredentials(c *conn) error {
	if p := q.countAction(c); p != nil {
		return p
	}
	res, err := c.replace(q.r.Context(), q.who)
	if err != nil {
		return err
	}
	return q.writeSubscriptions(*res)
}

// takeToken is putCredentials by a message of a WebSocket.
func (c *conn) takeToken(ctx context.Context, token string) (any, error) {
	who, err := c.h.verify(ctx, token, c.addr, c.ip)
	if err != nil {
		return nil, err
	}
	return c.replace(ctx, who)
}

// verify returns whom the token in a message stands for.
func (h *Handler) verify(ctx context.Context, token, remote string, ip netip.Addr) (*Principal, error) {
	if h.resource == nil {
		return nil, problemf(http.StatusNotImplemented, "this mount takes no tokens; use PUT …/connections/{cid}/credentials")
	}
	if p := h.limits.shutOut(addressKey(ip)); p != nil {
		return nil, p
	}
	r := &http.Request{Method: http.MethodGet, RemoteAddr: remote, Header: http.Header{"Authorization": {"Bearer " + token}}}
	who, err := h.cfg.Auth.Authenticate(r.WithContext(ctx))
	if err == nil {
		err = h.holds(who)
	}
	if err != nil {
		return nil, h.tokenRefused(err, who, ip)
	}
	return who, nil
}

// tokenRefused counts a guess, and says for logs which token it was, if it is
// one.
func (h *Handler) tokenRefused(err error, who *Principal, ip netip.Addr) error {
	p := AsProblem(err)
	if p.Status == http.StatusUnauthorized {
		h.limits.failed(addressKey(ip))
	}
	if who == nil || p.Err != nil {
		return err
	}
	told := *p
	told.Err = refusedTokenError{who}
	return &told
}

// replace lets the connection go on with other credentials of the same
// subject. Topics that they do not cover are removed, and announced.
func (c *conn) replace(ctx context.Context, who *Principal) (*SubscribeResult, error) {
	if !c.principal().sameAs(who) {
		return nil, problemf(http.StatusForbidden, "these credentials are another subject's: open a stream of its own")
	}
	c.updating.Lock()
	defer c.updating.Unlock()
	denied, p := c.h.denied(ctx, who, push.ActionSub, c.sub.Topics())
	if p != nil {
		return nil, p
	}
	if denied != nil {
		if _, err := c.sub.Update(nil, denied, "not granted any more"); err != nil {
			return nil, err
		}
		c.h.presence.attend(c)
	}
	c.mu.Lock()
	c.who = who
	c.mu.Unlock()
	c.expireAt(who.Expires)
	if err := c.h.revoked.check(c.h, who); err != nil { // revoked before it was the connection's
		c.revoke()
		return nil, err
	}
	return &SubscribeResult{Topics: c.sub.Topics(), Position: c.sub.Position()}, nil
}
