package rest

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/dualpush-go/dualpush/push"
)

// conn is an open stream or waiting poll: its subscription and on whose behalf
// it reads.
type conn struct {
	h         *Handler
	sub       *push.Subscription
	single    string // the path's topic, for which plain WebSocket frames are
	fixed     bool   // bound to its topics: frames cannot change them
	transport string
	addr      string
	origin    string // of the page that opened it, for logs
	ip        netip.Addr
	caller    caller

	updating sync.Mutex // held while the topics are checked and changed
	visitor  string     // an anonymous client's name for others; of presence.attend

	present  map[memberKey]bool // where it is; guarded by presence.mu
	departed bool               // guarded by presence.mu

	mu     sync.Mutex
	limit  *rate.Limiter // of actions through the REST twins; nil while there was none
	who    *Principal
	expiry *time.Timer   // when to look at who.Expires
	notice time.Duration // how long before that the client is told
	closed bool
}

// connections are the open ones by their id.
type connections struct {
	mu        sync.Mutex
	open      map[string]*conn // nil while a connection is being opened
	bySubject counts
	byAddress counts
}

// find returns the connection with an id, as far as it is who's: for an
// authenticated subject the id is no credential, for an anonymous one it is.
func (cs *connections) find(id string, who *Principal) *conn {
	if c := cs.get(id); c != nil && c.principal().sameAs(who) {
		return c
	}
	return nil
}

func (cs *connections) get(id string) *conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.open[id]
}

// all returns those that are open.
func (cs *connections) all() []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	list := make([]*conn, 0, len(cs.open))
	for _, c := range cs.open {
		if c != nil {
			list = append(list, c)
		}
	}
	return list
}

func (c *conn) principal() *Principal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.who
}

// mayAct takes one of the actions that the REST twins may do on a connection.
func (c *conn) mayAct() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == nil {
		perSecond, burst := c.h.limits.connection()
		c.limit = rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	return c.limit.Allow()
}

// open subscribes and registers the connection, which the caller must drop, or
// close once it was told of.
func (q *request) open(ctx context.Context, s stream, transport string) (*conn, error) {
	h := q.Handler
	id := h.node.newConnectionID()
	c := &conn{
		h: h, fixed: s.fixed, transport: transport, addr: q.r.RemoteAddr, origin: strings.Clone(q.r.Header.Get("Origin")), ip: q.ip, caller: q.caller(), who: q.who,
	}
	if p := h.reserve(id, c.caller); p != nil {
		return nil, p
	}
	sub, err := h.hub.Subscribe(ctx, s.topics, s.from,
		push.WithID(id), push.WithSubject(q.who.Subject), push.WithHeartbeat(h.cfg.Heartbeat), push.WithExpiry(q.who.Expires))
	if err != nil {
		h.conns.remove(id, c.caller)
		return nil, hubError(err)
	}
	c.sub = sub
	if s.single != "" {
		c.single = sub.Topics()[0] // the log's own string: that of the request keeps all of its first line
	}
	h.conns.set(id, c)
	if err := h.revoked.check(h, q.who); err != nil { // what came before the connection could be found
		c.drop()
		return nil, err
	}
	c.expireAt(q.who.Expires)
	return c, nil
}

// opened tells of the connection. The caller has deferred close.
func (c *conn) opened() {
	c.updating.Lock()
	c.h.presence.attend(c)
	c.updating.Unlock()
	if c.h.cfg.OnOpen != nil {
		c.h.cfg.OnOpen(c.describe())
	}
}

func (c *conn) describe() Connection {
	return Connection{ID: c.sub.ID(), Subject: c.sub.Subject(), Transport: c.transport, Topics: c.sub.Topics(), RemoteAddr: c.addr, ClientIP: c.ip.String()}
}

func (c *conn) close() {
	described := c.describe()
	c.drop()
	c.h.presence.depart(c)
	if c.h.cfg.OnClose != nil {
		c.h.cfg.OnClose(described)
	}
}

// drop closes a connection of which nothing was told yet.
func (c *conn) drop() {
	c.h.conns.remove(c.sub.ID(), c.caller)
	c.sub.Close()
	c.mu.Lock()
	c.closed = true
	c.stopExpiry()
	c.mu.Unlock()
}

// reserve takes a place for a connection, if there is one.
func (h *Handler) reserve(id string, c caller) *Problem {
	cs := &h.conns
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if most := h.cfg.MaxConnections; most > 0 && len(cs.open) >= most {
		return problemf(http.StatusServiceUnavailable, "this server has all the connections it can take").retryAfter(retryBusy)
	}
	if p := cs.bySubject.full(c.subject, h.limits.Connections, "this subject"); p != nil {
		return p
	}
	if p := cs.byAddress.full(c.address, h.limits.AddressConnections, "this address"); p != nil {
		return p
	}
	if cs.open == nil {
		cs.open, cs.bySubject, cs.byAddress = map[string]*conn{}, counts{}, counts{}
	}
	cs.open[id] = nil
	cs.bySubject.add(c.subject, 1)
	cs.byAddress.add(c.address, 1)
	return nil
}

func (cs *connections) set(id string, c *conn) {
	cs.mu.Lock()
	cs.open[id] = c
	cs.mu.Unlock()
}

func (cs *connections) remove(id string, c caller) {
	cs.mu.Lock()
	delete(cs.open, id)
	cs.bySubject.add(c.subject, -1)
	cs.byAddress.add(c.address, -1)
	cs.mu.Unlock()
}

// update adds and removes topics, all or none, if the topics there are have
// the entity tag ifMatch, where that is given.
func (c *conn) update(ctx context.Context, who *Principal, add, remove []string, ifMatch string) (push.ID, *Problem) {
	if p := c.h.checkTopics(add); p != nil {
		return push.ID{}, p
	}
	c.updating.Lock()
	defer c.updating.Unlock()
	if p := c.mayBoth(ctx, who, add); p != nil {
		return push.ID{}, p
	}
	topics := c.sub.Topics()
	if !matches(ifMatch, topicsTag(topics)) {
		return push.ID{}, problemf(http.StatusPreconditionFailed, "the subscriptions have changed: read them again")
	}
	topics = slices.DeleteFunc(topics, func(t string) bool { return slices.Contains(remove, t) })
	for _, t := range add {
		if !slices.Contains(topics, t) {
			topics = append(topics, t)
		}
	}
	if n := len(topics); n > c.h.cfg.MaxTopics {
		return push.ID{}, c.h.tooManyTopics(n)
	}
	at, err := c.sub.Update(add, remove, "requested")
	if err != nil {
		return push.ID{}, AsProblem(err)
	}
	c.h.presence.attend(c)
	return at, nil
}

// mayBoth checks that the connection's own credentials, and those of the
// request that asks, cover topics.
func (c *conn) mayBoth(ctx context.Context, who *Principal, topics []string) *Problem {
	own := c.principal()
	if p := c.h.may(ctx, own, push.ActionSub, topics...); p != nil || who == own {
		return p
	}
	return c.h.may(ctx, who, push.ActionSub, topics...)
}

// matches is the strong comparison of If-Match (RFC 9110 section 13.1.1).
func matches(ifMatch, etag string) bool {
	if ifMatch == "" || ifMatch == "*" {
		return true
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if strings.TrimSpace(tag) == etag {
			return true
		}
	}
	return false
}
