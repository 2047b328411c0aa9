package middleware

import (
	"errors"
	"strings"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// Mounted is a mount in an app.
type Mounted struct {
	handler *rest.Handler
	cfg     Config
	prefix  string // as Echo has it, e.g. "/push" or "/tenants/:id/push"
}

// Mount serves hub under a group of an Echo app. The group's own middlewares
// guard it. It panics if the configuration is wrong, with what to do about it
// in the text.
func Mount(g *echo.Group, hub *push.Hub, cfg Config) *Mounted {
	m, err := cfg.Mount(g, hub)
	if err != nil {
		panic(err)
	}
	return m
}

// Mount is the function Mount, but returns what is wrong.
func (cfg Config) Mount(g *echo.Group, hub *push.Hub) (*Mounted, error) {
	if g == nil {
		return nil, errors.New("middleware: Mount needs a group: e.Group(\"/push\")")
	}
	if hub == nil {
		return nil, errors.New("middleware: Mount needs a *push.Hub: push.New()")
	}
	if cfg.Skipper == nil {
		cfg.Skipper = echomw.DefaultSkipper
	}
	m := &Mounted{cfg: cfg}
	routes := g.Any("/*", m.serve) // first: they know the prefix
	m.prefix = strings.TrimSuffix(routes[0].Path, "/*")
	var err error
	m.handler, err = rest.New(cfg.toRest(hub, m.prefix))
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mounted) serve(c echo.Context) error {
	if m.handler == nil || m.cfg.Skipper(c) { // nil: New said what is wrong
		return echo.ErrNotFound
	}
	prefix := m.prefix
	if strings.Contains(prefix, ":") {
		prefix = actualPrefix(prefix, c.Request().URL.EscapedPath())
	}
	if err := m.handler.Serve(writer{c.Response()}, client(c, m.cfg.TrustedProxies), prefix); err != nil {
		return fail(c, err, m.cfg.ErrorHandler)
	}
	return nil
}

// actualPrefix takes as many segments of a path as the prefix has.
func actualPrefix(prefix, path string) string {
	end := 0
	for range strings.Count(prefix, "/") {
		next := strings.IndexByte(path[end+1:], '/')
		if next < 0 {
			return path
		}
		end += 1 + next
	}
	return path[:end]
}
