package rest

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

// CursorHeader carries the position of a route's answer; it comes back as
// ?after=, so that nothing falls between a page and its live stream.
const CursorHeader = "Push-Cursor"

// LiveConfig configures NewLive.
type LiveConfig struct {
	// Hub is the hub to serve. Required.
	Hub *push.Hub
	// Publish lets frames of a WebSocket client publish to the route's topic.
	// Optional. Default false: such frames are refused.
	Publish bool
	// The rest is as in Config.
	PublicURL       string
	Origins         []string
	MaxMessage      int64
	MaxConnections  int
	Limits          Limits
	TrustedProxies  []string
	ProxyHeader     string
	Heartbeat       time.Duration
	OnOpen, OnClose func(Connection)
	Logger          *slog.Logger
}

// Live serves live streams at routes of the application's own. The routes'
// own checks guard them: see package middleware for how.
type Live struct {
	h       *Handler
	publish bool
}

// NewLive returns a Live, or what is wrong with the configuration.
func NewLive(cfg LiveConfig) (*Live, error) {
	h, err := New(Config{
		Hub: cfg.Hub, Auth: Public(), PublicURL: cfg.PublicURL, Origins: cfg.Origins, MaxMessage: cfg.MaxMessage,
		MaxConnections: cfg.MaxConnections, Limits: cfg.Limits, TrustedProxies: cfg.TrustedProxies, ProxyHeader: cfg.ProxyHeader,
		Heartbeat: cfg.Heartbeat, OnOpen: cfg.OnOpen, OnClose: cfg.OnClose, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	h.node = nil
	return &Live{h, cfg.Publish}, nil
}

// LiveKind is what a request wants of a live route.
type LiveKind uint8

// The kinds of request.
const (
	LivePlain  LiveKind = iota // the route's own answer
	LiveStream                 // SSE or WebSocket
	LivePoll                   // the route's answer once something has happened
)

// Kind finds what a request wants: an upgrade, an explicit text/event-stream
// and Prefer: wait with a cursor are live, everything else is the route's.
func (l *Live) Kind(r *http.Request) LiveKind {
	switch {
	case isUpgrade(r):
		return LiveStream
	case r.Method != http.MethodGet:
		return LivePlain
	case wait(r) > 0 && r.URL.Query().Get("after") != "":
		return LivePoll
	case parseAccept(r.Header.Values("Accept"))["text/event-stream"] > 0:
		return LiveStream
	}
	return LivePlain
}

// Check refuses what must not even reach the route: another host, or an
// upgrade from a foreign origin.
func (l *Live) Check(r *http.Request) error {
	if p := l.h.origins.checkHost(r); p != nil {
		return p
	}
	if isUpgrade(r) && !isDeliberate(r) {
		if p := l.h.origins.check(r, nothing); p != nil {
			return p
		}
	}
	if isUpgrade(r) && r.Header.Get("Cookie") != "" && l.h.origins.anonymous(r) {
		return problemf(http.StatusForbidden, "origin %q may not use a visitor's cookies here; list it in Origins", r.Header.Get("Origin"))
	}
	return nil
}

// CORS adds the headers with which the configured Origins may read an answer.
func (l *Live) CORS(h http.Header, r *http.Request) { l.h.origins.cors(h, r) }

// PathTopic returns the topic of a path: the path itself in its canonical form
// without the leading slash.
func PathTopic(escapedPath string) (string, error) {
	if escapedPath == "" || escapedPath == "/" {
		return "", problemf(http.StatusNotFound, "the root has no topic of its own: set LiveConfig.Topic")
	}
	topic, p := pathTopic(escapedPath[1:])
	if p != nil {
		return "", p
	}
	return topic, nil
}

// PlainRequest returns the request that guards a stream: the same one as a
// plain GET for the route's own answer, in full.
func PlainRequest(r *http.Request) *http.Request {
	plain := r.Clone(r.Context())
	plain.Body, plain.ContentLength = http.NoBody, 0
	for _, name := range []string{
		"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol",
		"Last-Event-Id", "Prefer", "Range", "If-None-Match", "If-Modified-Since", "If-Range",
	} {
		plain.Header.Del(name)
	}
	plain.Header.Set("Accept", "application/json, */*;q=0.5")
	return plain
}

// Stream serves a live stream of topic that starts at the request's cursor, or
// at head if it has none. Errors are as those of Handler.Serve.
func (l *Live) Stream(w http.ResponseWriter, r *http.Request, topic string, head push.ID) error {
	q := l.request(w, r, topic)
	query, p := q.parseQuery(r)
	if p != nil {
		return p
	}
	from, p := streamStart(r, query)
	if p != nil {
		return p
	}
	if from == push.FromHead() {
		from = push.After(head)
	}
	s := stream{topics: []string{topic}, single: topic, from: from, way: waySSE, envelope: query.Get("format") == "envelope", fixed: true}
	if isUpgrade(r) {
		s.way = wayWebSocket
	}
	w.Header().Add("Vary", vary)
	return q.end(q.stream(s))
}

// Wait returns when something is after the request's cursor in topic, or the
// time of its Prefer header is up.
func (l *Live) Wait(w http.ResponseWriter, r *http.Request, topic string) error {
	q := l.request(w, r, topic)
	after := r.URL.Query().Get("after")
	if len(after) > maxCursor {
		return problemf(http.StatusRequestHeaderFieldsTooLarge, "a cursor has at most %d bytes", push.MaxCursorLen)
	}
	_, err := q.longPoll(poll.Query{Topics: []string{topic}, After: after, Limit: 1}, min(wait(r), poll.MaxWait))
	return q.logged(err)
}

func (l *Live) request(w http.ResponseWriter, r *http.Request, topic string) *request {
	who := &Principal{Grants: []push.Grant{push.Sub(topic)}}
	if l.publish {
		who.Grants = append(who.Grants, push.Pub(topic))
	}
	return &request{Handler: l.h, w: w, r: r, who: who, ip: l.h.proxies.clientIP(r)}
}
