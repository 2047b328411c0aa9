package middleware

import (
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// LiveConfig configures LiveWithConfig.
type LiveConfig struct {
	// Skipper defines a function to skip the middleware.
	// Optional. Default echo's DefaultSkipper.
	Skipper echomw.Skipper

	// Hub is the hub to serve.
	// Required.
	Hub *push.Hub

	// Topic returns the topic of a request.
	// Optional. Default: the canonical path without its leading slash, e.g.
	// "orders/42" for GET /orders/42.
	Topic func(c echo.Context) (string, error)

	// Publish lets a WebSocket client's frames publish to the route's topic.
	// Optional. Default false: such frames are refused.
	Publish bool

	// PublicURL, Origins, MaxMessage, MaxConnections, Limits, TrustedProxies,
	// ProxyHeader, Heartbeat, OnOpen, OnClose, ErrorHandler and Logger are as
	// in Config; connections and messages are limited by address only. Without PublicURL the
	// Origin of a WebSocket must have the request's own host.
	// Optional.
	PublicURL       string
	Origins         []string
	MaxMessage      int64
	MaxConnections  int
	Limits          Limits
	TrustedProxies  []string
	ProxyHeader     string
	Heartbeat       time.Duration
	OnOpen, OnClose func(Connection)
	ErrorHandler    func(err error, c echo.Context) error
	Logger          *slog.Logger
}

// Live makes a GET route live: at the same URL a plain GET gets the route's
// own answer, and EventSource, WebSocket or a long poll get the stream of the
// route's topic. The route runs first, as a plain GET, and an answer of its
// own that is not 2xx is the answer: so its checks guard the stream. It is
// checked when the stream opens, not again.
//
// Every answer of the route carries Push-Cursor, which comes back as ?after=.
// A long poll (Prefer: wait=n and ?after=) waits for news and then lets the
// route answer. It panics if hub is nil.
func Live(hub *push.Hub) echo.MiddlewareFunc { return LiveWithConfig(LiveConfig{Hub: hub}) }

// LiveWithConfig is Live with a configuration. It panics if that is wrong,
// with what to do about it in the text.
func LiveWithConfig(cfg LiveConfig) echo.MiddlewareFunc {
	mw, err := cfg.ToMiddleware()
	if err != nil {
		panic(err)
	}
	return mw
}

// ToMiddleware returns the middleware, or what is wrong.
func (cfg LiveConfig) ToMiddleware() (echo.MiddlewareFunc, error) {
	if cfg.Skipper == nil {
		cfg.Skipper = echomw.DefaultSkipper
	}
	if cfg.Topic == nil {
		cfg.Topic = func(c echo.Context) (string, error) { return rest.PathTopic(c.Request().URL.EscapedPath()) }
	}
	l, err := rest.NewLive(rest.LiveConfig{
		Hub: cfg.Hub, Publish: cfg.Publish, PublicURL: cfg.PublicURL, Origins: cfg.Origins, MaxMessage: cfg.MaxMessage,
		MaxConnections: cfg.MaxConnections, Limits: cfg.Limits, TrustedProxies: cfg.TrustedProxies, ProxyHeader: cfg.ProxyHeader,
		Heartbeat: cfg.Heartbeat, OnOpen: cfg.OnOpen, OnClose: cfg.OnClose, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	lv := &live{cfg, l}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if cfg.Skipper(c) {
				return next(c)
			}
			return lv.serve(c, next)
		}
	}, nil
}

type live struct {
	cfg  LiveConfig
	rest *rest.Live
}

func (l *live) serve(c echo.Context, next echo.HandlerFunc) error {
	head := l.cfg.Hub.Position() // before the route reads its state
	kind := l.rest.Kind(c.Request())
	l.rest.CORS(c.Response().Header(), c.Request())
	if kind == rest.LivePlain {
		l.announce(c, head)
		return next(c)
	}
	if err := l.rest.Check(c.Request()); err != nil {
		return fail(c, err, l.cfg.ErrorHandler)
	}
	topic, err := l.cfg.Topic(c)
	if err != nil {
		return fail(c, err, l.cfg.ErrorHandler)
	}
	if done, err := l.guard(c, next); done {
		return err
	}
	if kind == rest.LivePoll {
		return l.poll(c, next, topic)
	}
	if err := l.rest.Stream(writer{c.Response()}, client(c, l.cfg.TrustedProxies), topic, head); err != nil {
		return fail(c, err, l.cfg.ErrorHandler)
	}
	return nil
}

func (l *live) announce(c echo.Context, at push.ID) {
	h := c.Response().Header()
	h.Set(rest.CursorHeader, at.String())
	h.Add(echo.HeaderVary, "Accept, Prefer")
}

func (l *live) poll(c echo.Context, next echo.HandlerFunc, topic string) error {
	if err := l.rest.Wait(writer{c.Response()}, client(c, l.cfg.TrustedProxies), topic); err != nil {
		return fail(c, err, l.cfg.ErrorHandler)
	}
	l.announce(c, l.cfg.Hub.Position())
	return next(c)
}

// guard runs the route as a plain GET. It reports true if the route's answer
// is not 2xx: then that is the answer.
func (l *live) guard(c echo.Context, next echo.HandlerFunc) (done bool, err error) {
	header := c.Response().Header()
	rec := &recorder{header: header.Clone()} // with what outer middlewares have set
	if err = rehearse(c, next, rec); err == nil && (rec.status == 0 || rec.status/100 == 2) {
		if l.rest.Kind(c.Request()) == rest.LiveStream { // else the route sets them again
			header["Set-Cookie"] = rec.header["Set-Cookie"]
		}
		return false, nil
	}
	clear(header)
	maps.Copy(header, rec.header)
	switch {
	case err != nil:
		return true, err
	case rec.tooLong:
		return true, echo.NewHTTPError(rec.status)
	}
	c.Response().WriteHeader(rec.status)
	_, err = c.Response().Write(rec.body)
	return true, err
}

// rehearse runs the route as a plain GET whose answer goes to rec.
func rehearse(c echo.Context, next echo.HandlerFunc, rec *recorder) error {
	req, res := c.Request(), c.Response()
	defer func() { // also if the route panics: somebody may have to answer
		c.SetRequest(req)
		c.SetResponse(res)
	}()
	c.SetRequest(rest.PlainRequest(req))
	c.SetResponse(echo.NewResponse(rec, c.Echo()))
	return next(c)
}

// maxRecorded bounds what is kept of a route's answer.
const maxRecorded = 64 << 10

// recorder keeps a route's refusal; what the route would have shown is not
// needed.
type recorder struct {
	header  http.Header
	status  int
	body    []byte
	tooLong bool
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	switch {
	case r.status/100 == 2 || r.tooLong:
	case len(r.body)+len(b) > maxRecorded:
		r.tooLong, r.body = true, nil
	default:
		r.body = append(r.body, b...)
	}
	return len(b), nil
}

// Flush implements http.Flusher: there is nobody to flush to.
func (r *recorder) Flush() {}
