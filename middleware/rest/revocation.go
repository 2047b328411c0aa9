package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Revocation says whose credentials are void: those that have all the members
// that are set. With Session or TokenID it is about that log-in or that token,
// for good. With Subject alone it is about everything that was issued to the
// subject up to now, so that who logs in again is let in; but not within half a
// minute, since a provider's clock may be ahead by that. To log somebody out who
// may come back at once name the Session.
type Revocation struct {
	Subject string `json:"sub,omitempty"`
	Session string `json:"sid,omitempty"`
	TokenID string `json:"jti,omitempty"`
}

// Revoke makes credentials void on every node that shares the hub's log: their
// streams end within a second with CloseForbidden, and they are refused from
// then on until Config.MaxTokenLife is over; on this node before it returns. An
// error that is a *Problem with status 400 says that r is empty; after any other
// try again.
func (h *Handler) Revoke(ctx context.Context, r Revocation) error {
	if r == (Revocation{}) {
		return problemf(http.StatusBadRequest, "say whose credentials are void: sub, sid or jti")
	}
	v := revoked{r, time.Now()}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// First the store, then the log: who starts to follow the log in between
	// finds it in the store.
	key := revokedPrefix + fingerprint(r.Subject+"\x00"+r.Session+"\x00"+r.TokenID)
	if err := h.hub.Store().Set(ctx, key, data, h.cfg.MaxTokenLife+2*clockSkew); err != nil {
		return hubError(err)
	}
	h.learn(v)
	_, err = h.hub.Announce(ctx, push.Event{Topic: revokedTopic, Name: revokedTopic[1:], ContentType: typeJSON, Data: data})
	return asHubError(err)
}

// clockSkew is how far ahead of ours a provider's clock may be; package oauth
// refuses tokens that are issued later.
const clockSkew = 30 * time.Second

const (
	revokedPrefix = "revoked/"
	revokedTopic  = "$push/revoked"
)

// names reports whether p has all the members that are set.
func (r Revocation) names(p *Principal) bool {
	return (r.Subject == "" || r.Subject == p.Subject) && (r.Session == "" || r.Session == p.Session) &&
		(r.TokenID == "" || r.TokenID == p.TokenID)
}

// revoked is a revocation as it is stored and announced.
type revoked struct {
	Revocation
	At time.Time `json:"at"`
}

func (v *revoked) covers(p *Principal) bool {
	if !v.names(p) {
		return false
	}
	return v.Session != "" || v.TokenID != "" || !p.IssuedAt.After(v.At.Add(clockSkew))
}

// revokedKey is the member by which a revocation is found: the most telling one.
type revokedKey struct {
	kind  byte
	value string
}

func (v *revoked) key() revokedKey {
	switch {
	case v.TokenID != "":
		return revokedKey{'j', v.TokenID}
	case v.Session != "":
		return revokedKey{'s', v.Session}
	}
	return revokedKey{'u', v.Subject}
}

// revocations are what this node knows of. It reads them from the store when
// the first credential comes that could be revoked, and follows the log from
// then on: a check costs no round trip.
type revocations struct {
	starting sync.Mutex

	mu        sync.RWMutex
	following bool
	known     map[revokedKey][]revoked
	count     int
	pruneAt   int // count at which to look for what is over
}

var errRevoked = errors.New("the credentials were revoked")

// check returns the problem of a principal whose credentials are void, or of a
// node that cannot know.
func (rs *revocations) check(h *Handler, p *Principal) error {
	if p.Subject == "" && p.Session == "" && p.TokenID == "" {
		return nil
	}
	rs.mu.RLock()
	following, void := rs.following, rs.void(p)
	rs.mu.RUnlock()
	if !following {
		if err := rs.follow(h); err != nil {
			return hubError(err)
		}
		rs.mu.RLock()
		void = rs.void(p)
		rs.mu.RUnlock()
	}
	if void {
		return InvalidToken(errRevoked.Error(), nil)
	}
	return nil
}

// void reports whether p is covered. The caller holds mu.
func (rs *revocations) void(p *Principal) bool {
	if rs.count == 0 {
		return false
	}
	for _, key := range [...]revokedKey{{'j', p.TokenID}, {'s', p.Session}, {'u', p.Subject}} {
		if key.value == "" {
			continue
		}
		for i := range rs.known[key] {
			if rs.known[key][i].covers(p) {
				return true
			}
		}
	}
	return false
}

// follow reads what there is and has everything that comes applied.
func (rs *revocations) follow(h *Handler) error {
	rs.starting.Lock()
	defer rs.starting.Unlock()
	rs.mu.RLock()
	following := rs.following
	rs.mu.RUnlock()
	if following { // somebody was faster
		return nil
	}
	sub, err := h.subscribeTo(revokedTopic)
	if err != nil {
		return err
	}
	if err := rs.load(h); err != nil {
		sub.Close()
		return err
	}
	rs.setFollowing(true)
	l := &listener{hear: h.apply, lost: func() { go rs.reload(h, sub) }}
	l.start(sub, func() { rs.setFollowing(false) })
	return nil
}

func (rs *revocations) setFollowing(yes bool) {
	rs.mu.Lock()
	rs.following = yes
	rs.mu.Unlock()
}

// storeTimeout bounds what a request waits for the store.
const storeTimeout = 5 * time.Second

// load applies everything that is in the store.
func (rs *revocations) load(h *Handler) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	all, err := h.hub.Store().List(ctx, revokedPrefix)
	if err != nil {
		return err
	}
	for _, data := range all {
		h.apply(data)
	}
	return nil
}

// apply learns of a revocation that another node or the store has.
func (h *Handler) apply(data []byte) {
	var v revoked
	if err := json.Unmarshal(data, &v); err != nil || v.Revocation == (Revocation{}) {
		h.cfg.Logger.Error("push: a revocation cannot be read", "err", err)
		return
	}
	h.learn(v)
}

// learn ends the streams that a revocation concerns, unless it is known.
func (h *Handler) learn(v revoked) {
	if !h.revoked.add(v, h.cfg.MaxTokenLife) {
		return
	}
	for _, c := range h.conns.all() {
		if who := c.principal(); v.covers(who) {
			c.revoke()
		}
	}
}

func (c *conn) revoke() {
	c.logEnded(errRevoked.Error())
	c.sub.Disconnect(&push.CloseError{Code: push.CloseForbidden, Reason: errRevoked.Error()})
}

// add reports whether v is news.
func (rs *revocations) add(v revoked, life time.Duration) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.known == nil {
		rs.known = map[revokedKey][]revoked{}
	}
	key := v.key()
	same := func(o revoked) bool { return o.Revocation == v.Revocation }
	if i := slices.IndexFunc(rs.known[key], same); i >= 0 {
		newer := rs.known[key][i].At.Before(v.At)
		if newer {
			rs.known[key][i] = v
		}
		return newer
	}
	rs.known[key] = append(rs.known[key], v)
	rs.count++
	if rs.count > rs.pruneAt {
		rs.prune(time.Now().Add(-life - clockSkew)) // so much later may a token be issued that is covered
	}
	return true
}

// prune forgets what no living token can be covered by. The caller holds mu.
func (rs *revocations) prune(before time.Time) {
	rs.count = 0
	for key, list := range rs.known {
		list = slices.DeleteFunc(list, func(v revoked) bool { return v.At.Before(before) })
		rs.count += len(list)
		if rs.known[key] = list; len(list) == 0 {
			delete(rs.known, key)
		}
	}
	rs.pruneAt = 2*rs.count + 1000
}

// reload reads the store again, since the log has lost something. If that
// fails nobody is let in until it works.
func (rs *revocations) reload(h *Handler, sub *push.Subscription) {
	rs.starting.Lock()
	defer rs.starting.Unlock()
	if err := rs.load(h); err != nil {
		h.cfg.Logger.Error("push: revocations cannot be read", "err", err)
		sub.Disconnect(&push.CloseError{Code: push.CloseOverload, Reason: "revocations cannot be read"})
	}
}

// postRevocation answers POST /revocations.
func (q *request) postRevocation() error {
	if p := q.may(q.r.Context(), q.who, push.ActionManage, "**"); p != nil {
		return p
	}
	var r Revocation
	if p := q.readJSON(&r); p != nil {
		return p
	}
	if err := q.Revoke(q.r.Context(), r); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
