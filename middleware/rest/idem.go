package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// claim is an idempotency key that a request holds while it is being served
// (draft-ietf-httpapi-idempotency-key-header). It is in the hub's store, so
// that a retry is recognised on whatever node it arrives, and in the event, so
// that the log takes it once even if the claim was lost. A nil claim is of a
// request without a key.
type claim struct {
	h     *Handler
	key   string // in the store
	print []byte // of what is to be published

	mu      sync.Mutex // held while the claim is renewed
	settled bool
	renewal *time.Timer
}

// longKey is the length from which on a key is its own proof: 128 random bits
// are that long in base64. An anonymous visitor that comes back has another
// connection and maybe another address, and its key is known all the same.
const longKey = 22

func keyScope(who *Principal, scope, key string) string {
	if who.Subject == "" && len(key) >= longKey {
		return "key"
	}
	return scope
}

// claimTime is how long a key is held by a request whose node has died: so long a
// retry is in flight; then it goes to the log, which knows the key. A node that
// lives renews its claims.
const claimTime = 6 * time.Second

// claim takes the key of an event for a request, in a scope: whose key it is.
// If the key was used before for the same event it returns the ID of that.
func (h *Handler) claim(ctx context.Context, scope, key string, e *push.Event) (*claim, push.ID, error) {
	if key == "" {
		return nil, push.ID{}, nil
	}
	e.Idem = hash(scope, e.Topic, key)
	digest := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s", e.Name, e.Key, e.ContentType, e.Data))
	c := &claim{h: h, key: "idem/" + e.Idem, print: digest[:]}
	for range 3 {
		added, err := h.hub.Store().Add(ctx, c.key, c.print, claimTime)
		if err != nil {
			return nil, push.ID{}, hubError(err)
		}
		if added {
			c.hold()
			return c, push.ID{}, nil
		}
		value, ok, err := h.hub.Store().Get(ctx, c.key)
		if err != nil {
			return nil, push.ID{}, hubError(err)
		}
		if ok { // else it was given back between the two
			id, err := c.answered(value)
			return nil, id, err
		}
	}
	return nil, push.ID{}, inFlight()
}

// hold has the claim renewed until it is settled.
func (c *claim) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewal = time.AfterFunc(claimTime/3, c.renew)
}

func (c *claim) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimTime/3)
	defer cancel()
	if err := c.h.hub.Store().Set(ctx, c.key, c.print, claimTime); err != nil {
		c.h.cfg.Logger.Warn("push: an Idempotency-Key could not be held", "err", err)
	}
	c.renewal.Reset(claimTime / 3)
}

// release ends the renewing.
func (c *claim) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = true
	c.renewal.Stop()
}

// answered returns the ID in the value of a key that was used before.
func (c *claim) answered(value []byte) (push.ID, error) {
	cursor, ok := bytes.CutPrefix(value, c.print)
	switch {
	case !ok:
		return push.ID{}, problemf(http.StatusUnprocessableEntity, "this Idempotency-Key was used for another event: use a new key for each event")
	case len(cursor) == 0:
		return push.ID{}, inFlight()
	}
	return push.ParseID(string(cursor))
}

func inFlight() error {
	return problemf(http.StatusConflict, "the first request with this Idempotency-Key is still being served").retryAfter(time.Second)
}

// settle stores the answer; a request that failed may be repeated. The answer
// stands whether or not that works: the log knows the key, too.
func (c *claim) settle(ctx context.Context, id push.ID) {
	if c == nil {
		return
	}
	c.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime) // the client may be gone
	defer cancel()
	store := c.h.hub.Store()
	var err error
	if id.IsZero() {
		err = store.Delete(ctx, c.key)
	} else if err = store.Set(ctx, c.key, id.Append(c.print), push.IdemWindow); err == nil {
		if oldest := c.h.idem.add(c.key); oldest != "" {
			err = store.Delete(ctx, oldest)
		}
	}
	if err != nil {
		c.h.cfg.Logger.WarnContext(ctx, "push: the answer to an Idempotency-Key could not be stored", "err", err)
	}
}

// storeTime is how long the store may take where no client waits for it.
const storeTime = 5 * time.Second

// maxIdem bounds how many answers a mount has in the store; above it the oldest
// is forgotten before its time. The log still takes its event once.
const maxIdem = 1 << 16

// idemKeys are the keys whose answers this mount has stored, oldest first.
type idemKeys struct {
	mu   sync.Mutex
	keys []idemKey
}

type idemKey struct {
	key   string
	until time.Time
}

// add adds a key, and returns one that is to be forgotten.
func (k *idemKeys) add(key string) (oldest string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.keys = append(k.keys, idemKey{key, now.Add(push.IdemWindow)})
	for now.After(k.keys[0].until) {
		k.keys = k.keys[1:]
	}
	if len(k.keys) > maxIdem {
		oldest, k.keys = k.keys[0].key, k.keys[1:]
	}
	return oldest
}

func hash(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
