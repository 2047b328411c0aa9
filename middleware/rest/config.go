package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Config configures a mount.
type Config struct {
	// Hub is the hub to serve. Required.
	Hub *push.Hub

	// Auth says who may do what. Required: Public(grants…) for what anybody
	// may do, Insecure() for trying things out on this machine.
	Auth Auth

	// Authorize is a rule of the application's own: what a grant allows, it can
	// still refuse; without a grant it is not asked. topic may be a pattern:
	// then the answer is for all topics that match. It is asked whenever
	// something is opened, added, published or read, and when the credentials
	// of a stream change; an error makes a 503. It must be safe for concurrent
	// use. ctx has the values of the request; for messages of a WebSocket, of
	// the request that opened it; for a request about a stream of another node,
	// none. Optional. Default: the grants decide alone.
	Authorize AuthorizeFunc

	// Cookies lets Auth see a request's cookies, where it has no other
	// credential. Requests that rely on them must then come from an allowed
	// origin. Optional. Default false: cookies are not looked at.
	Cookies bool

	// BearerSubprotocol takes access tokens as a WebSocket subprotocol
	// "push.bearer.<token>", too. Tokens may be seen there by proxies and logs
	// on the way: tickets are the better choice. With an Auth that is no
	// ProtectedResource, and so may not look at them, the page's origin must be
	// allowed, too. Optional. Default false.
	BearerSubprotocol bool

	// MaxTokenLife is the longest time that a token may live, from when it was
	// issued if it says so and else from now, and how long revocations are
	// remembered, so that no token outlives its own.
	// Credentials that never run out are not covered by it: a revocation ends
	// their streams, but their Auth has to know that they are void.
	// Optional. Default 24 h.
	MaxTokenLife time.Duration

	// Prefix is the path under which the handler is mounted, e.g. "/push". Over
	// several nodes mounts with the same Prefix and PublicURL are one: any of
	// them takes requests about a connection of another.
	// Optional. Default "": the root.
	Prefix string

	// PublicURL is scheme and host as browsers see them. Requests for another
	// host are then refused. Optional. Default: any host is served.
	PublicURL string

	// Origins are the origins of other sites that may use the mount from a
	// browser, e.g. "https://app.example.com"; "*" is any, without
	// credentials. Optional. Default: the mount's own only.
	Origins []string

	// MaxMessage is the largest event that a client may publish, in bytes.
	// Optional. Default 64 KiB.
	MaxMessage int64

	// MaxTopics is how many topics and patterns one connection may have.
	// Optional. Default 100.
	MaxTopics int

	// MaxConnections is how many streams and waiting polls may be open at
	// once; further ones are told to come back. Optional. Default: no limit.
	MaxConnections int

	// Limits bound what one client can do. Optional. Default: see Limits.
	Limits Limits

	// TrustedProxies are the addresses and CIDRs of proxies whose word on a
	// client's address is taken, e.g. "10.0.0.0/8"; "unix" are peers on a Unix
	// socket. Limits by address need it behind a proxy. Optional. Default:
	// none.
	TrustedProxies []string

	// ProxyHeader is the header in which the trusted proxies write that
	// address: "X-Forwarded-For" or "Forwarded" (RFC 7239). They must append
	// to it or replace it. Optional. Default "X-Forwarded-For".
	ProxyHeader string

	// Presence says at which topics clients can see each other. Optional.
	// Default: nowhere.
	Presence Presence

	// Heartbeat is the silence after which a stream says that it is alive.
	// Optional. Default 25 s, below the 30 s and 60 s of common proxies.
	Heartbeat time.Duration

	// OnOpen and OnClose are told of each stream and waiting poll, since an
	// access log sees a stream when it ends. They must not block. Optional.
	OnOpen, OnClose func(Connection)

	// Logger gets what goes wrong. Optional. Default slog.Default().
	Logger *slog.Logger
}

// Connection describes a stream or a waiting poll.
type Connection struct {
	ID         string
	Subject    string
	Transport  string // "sse", "ndjson", "ws" or "poll"
	Topics     []string
	RemoteAddr string // of the peer, which may be a proxy
	ClientIP   string // of the client itself, as far as TrustedProxies tell
}

const maxHeartbeat = 25 * time.Second

// New returns the handler for a mount, or what is wrong with the configuration
// and how to mend it.
func New(cfg Config) (*Handler, error) {
	if cfg.Hub == nil {
		return nil, errors.New("rest: Config.Hub is missing: set it to push.New()")
	}
	if cfg.Auth == nil {
		return nil, errors.New("rest: Config.Auth is missing: set it to Public(push.Sub(\"…\"), …) for what anybody may do, " +
			"or to Insecure() while you try things out on one machine")
	}
	if cfg.Prefix == "/" {
		cfg.Prefix = ""
	}
	if cfg.Prefix != "" && (cfg.Prefix[0] != '/' || strings.HasSuffix(cfg.Prefix, "/")) {
		return nil, fmt.Errorf("rest: Config.Prefix %q: it starts with a slash and does not end with one, e.g. /push", cfg.Prefix)
	}
	if cfg.Heartbeat < 0 || cfg.Heartbeat > maxHeartbeat {
		return nil, fmt.Errorf("rest: Config.Heartbeat %v: at most %v, or proxies cut silent streams", cfg.Heartbeat, maxHeartbeat)
	}
	origins, err := newOriginPolicy(cfg.PublicURL, cfg.Origins)
	if err != nil {
		return nil, err
	}
	proxies, err := newProxies(cfg.TrustedProxies, cfg.ProxyHeader)
	if err != nil {
		return nil, err
	}
	if cfg.MaxMessage <= 0 {
		cfg.MaxMessage = 64 << 10
	}
	if cfg.MaxTopics <= 0 {
		cfg.MaxTopics = 100
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = maxHeartbeat
	}
	if cfg.MaxTokenLife <= 0 {
		cfg.MaxTokenLife = 24 * time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	h := &Handler{cfg: cfg, hub: cfg.Hub, routes: resources(), origins: origins, proxies: proxies, limits: newLimiter(cfg.Limits)}
	if h.resource, _ = cfg.Auth.(ProtectedResource); h.resource != nil && cfg.PublicURL == "" {
		return nil, errors.New("rest: Config.PublicURL is missing: with bearer tokens set it to scheme and host as clients see them, " +
			"e.g. https://api.example.com, so that a forged Host changes nothing")
	}
	_, h.anybody = cfg.Auth.(openAuth)
	h.node = newNode(h)
	if h.presence, err = newPresence(&cfg); err != nil {
		return nil, err
	}
	return h, nil
}
