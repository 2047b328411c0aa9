package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// What the mount takes from package rest, under the names of this package.
type (
	// Auth finds out who a request comes from.
	Auth = rest.Auth
	// AuthFunc is a function that is an Auth.
	AuthFunc = rest.AuthFunc
	// Principal is who a request comes from and what it may do.
	Principal = rest.Principal
	// Problem is an error in the form of RFC 9457.
	Problem = rest.Problem
	// Limits bound what one client can do.
	Limits = rest.Limits
	// Presence says at which topics clients can see each other.
	Presence = rest.Presence
	// Connection describes a stream or a waiting poll.
	Connection = rest.Connection
	// AuthorizeFunc is a rule of the application's own next to the grants.
	AuthorizeFunc = rest.AuthorizeFunc
	// Revocation says whose credentials are void.
	Revocation = rest.Revocation
)

// Public lets anybody do what grants say, and nothing else.
func Public(grants ...push.Grant) Auth { return rest.Public(grants...) }

// Insecure lets everybody on this machine do everything; see rest.Insecure.
func Insecure() Auth { return rest.Insecure() }

// Config configures Mount.
type Config struct {
	// Skipper defines a function to skip the mount: what it skips is 404.
	// Optional. Default echo's DefaultSkipper, which skips nothing.
	Skipper echomw.Skipper

	// Auth says who may do what: OIDC(…) for tokens of an identity provider, an
	// AuthFunc for API keys or sessions of the application's own,
	// Public(grants…) for what anybody may do, Insecure() for trying things out
	// on one machine.
	// Required.
	Auth Auth

	// Authorize is a rule of the application's own: what a grant allows, it can
	// still refuse; without a grant it is not asked. topic may be a pattern:
	// then the answer is for all topics that match. An error makes a 503. It is
	// asked for messages of a WebSocket, too, long after Echo has taken its
	// Context back: so it gets a context.Context, with the request's values; for
	// a request about a stream of another node without.
	// Optional. Default: the grants decide alone.
	Authorize AuthorizeFunc

	// Cookies lets an Auth of the application's own see a request's cookies,
	// where it has no other credential. Requests that rely on them must then
	// come from the mount's own pages or from Origins.
	// Optional. Default false: cookies are not looked at.
	Cookies bool

	// BearerSubprotocol takes access tokens as a WebSocket subprotocol
	// "push.bearer.<token>", too, where proxies may log them.
	// Optional. Default false: clients fetch a ticket.
	BearerSubprotocol bool

	// MaxTokenLife is the longest time that a token may live, and how long
	// revocations are remembered.
	// Optional. Default 24 h.
	MaxTokenLife time.Duration

	// PublicURL is scheme and host as browsers see them, e.g.
	// "https://api.example.com". Requests for another host are refused.
	// Required with OIDC. Otherwise optional. Default "": any host is served.
	PublicURL string

	// Origins are the origins of other sites that may use the mount from a
	// browser; "*" is any, without credentials.
	// Optional. Default none: only the mount's own.
	Origins []string

	// MaxMessage is the largest event that a client may publish, in bytes.
	// Optional. Default 64 KiB.
	MaxMessage int64

	// MaxTopics is how many topics and patterns one connection may have.
	// Optional. Default 100.
	MaxTopics int

	// MaxConnections is how many streams and waiting polls may be open at
	// once; further ones are told to come back.
	// Optional. Default 0: no limit.
	MaxConnections int

	// Limits bound what one client can do.
	// Optional. Default: see Limits.
	Limits Limits

	// TrustedProxies are the addresses and CIDRs of proxies whose word on a
	// client's address is taken, e.g. "10.0.0.0/8"; "unix" are peers on a Unix
	// socket.
	// Optional. Default: what the app's Echo.IPExtractor says, if it has one,
	// else the peer.
	TrustedProxies []string

	// ProxyHeader is the header in which the trusted proxies write that
	// address: "X-Forwarded-For" or "Forwarded" (RFC 7239).
	// Optional. Default "X-Forwarded-For".
	ProxyHeader string

	// Presence says at which topics clients can see each other.
	// Optional. Default: nowhere.
	Presence Presence

	// Heartbeat is the silence after which a stream says that it is alive.
	// Optional. Default 25 s, which is also the most.
	Heartbeat time.Duration

	// OnOpen and OnClose are told of each stream and waiting poll. They must
	// not block.
	// Optional.
	OnOpen, OnClose func(Connection)

	// ErrorHandler answers a request that failed before an answer began. Its
	// error is an *echo.HTTPError whose Internal is a *Problem.
	// Optional. Default: the problem goes out as application/problem+json.
	ErrorHandler func(err error, c echo.Context) error

	// Logger gets what goes wrong.
	// Optional. Default slog.Default().
	Logger *slog.Logger
}

func (cfg *Config) toRest(hub *push.Hub, prefix string) rest.Config {
	return rest.Config{
		Hub: hub, Prefix: prefix, Auth: cfg.Auth, Authorize: cfg.Authorize, Cookies: cfg.Cookies, BearerSubprotocol: cfg.BearerSubprotocol,
		MaxTokenLife: cfg.MaxTokenLife, PublicURL: cfg.PublicURL, Origins: cfg.Origins,
		MaxMessage: cfg.MaxMessage, MaxTopics: cfg.MaxTopics, MaxConnections: cfg.MaxConnections,
		Limits: cfg.Limits, TrustedProxies: cfg.TrustedProxies, ProxyHeader: cfg.ProxyHeader, Presence: cfg.Presence,
		Heartbeat: cfg.Heartbeat, OnOpen: cfg.OnOpen, OnClose: cfg.OnClose, Logger: cfg.Logger,
	}
}

// client returns a request that knows its client's address if the app has a way
// to find it and no proxies are configured here.
func client(c echo.Context, trusted []string) *http.Request {
	if extract := c.Echo().IPExtractor; extract != nil && len(trusted) == 0 {
		return rest.WithClientIP(c.Request(), extract(c.Request()))
	}
	return c.Request()
}

// fail answers with a problem, by Echo's conventions if the app wants to.
func fail(c echo.Context, err error, handler func(error, echo.Context) error) error {
	p := rest.AsProblem(err)
	if he, ok := errors.AsType[*echo.HTTPError](p.Err); ok { // of a middleware that limits the body
		p = &Problem{Title: http.StatusText(he.Code), Status: he.Code, Detail: fmt.Sprint(he.Message), Err: he}
	}
	if handler != nil {
		return handler(echo.NewHTTPError(p.Status, p.Detail).WithInternal(p), c)
	}
	p.Write(c.Response())
	return nil
}

// writer is an Echo response from which package rest can take the writer of a
// stream.
type writer struct{ *echo.Response }

// StreamWriter implements rest.StreamWriter: Echo's Response writes the head
// to the server's own writer, so that its hooks run and Committed holds; then
// every byte goes to that writer, past all middlewares' writers.
func (w writer) StreamWriter() http.ResponseWriter {
	w.Response.Writer = rest.Innermost(w.Response)
	w.Header().Del(echo.HeaderContentEncoding) // a compressor may have announced itself
	return streamWriter{w.Response.Writer, w.Response}
}

type streamWriter struct {
	http.ResponseWriter // the server's own
	head                *echo.Response
}

// WriteHeader implements http.ResponseWriter.
func (w streamWriter) WriteHeader(status int) { w.head.WriteHeader(status) }

// Write implements http.ResponseWriter.
func (w streamWriter) Write(b []byte) (int, error) {
	if !w.head.Committed {
		w.head.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.head.Size += int64(n)
	return n, err
}

// Unwrap leads http.ResponseController to the server's writer.
func (w streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
