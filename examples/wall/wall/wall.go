// Package wall is the wall: a page on which everybody sees everybody's posts,
// over any broker, on one node or on many.
package wall

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// The topics of the wall.
const (
	wallTopic     = "wall"
	visitorsTopic = "wall/visitors"
	visitorPrefix = "visitors/" // a page that subscribes to visitors/{name} is counted by name, too
)

// kept is how many posts the wall keeps, however old they are.
const kept = 200

// Options of a wall. All are optional.
type Options struct {
	Node           string        // the name of this one of many; "" if it is alone
	Heartbeat      time.Duration // the silence after which a stream says that it is alive; default 25 s
	DrainWindow    time.Duration // over which streams are ended; default 2 s
	Grace          time.Duration // for which a wall that was told to end goes on, but says that it is not ready
	TrustedProxies []string      // addresses of load balancers
}

// Wall is a wall.
type Wall struct {
	Options
	hub      *push.Hub
	visitors *visitors
	leaving  atomic.Bool
}

// Memory returns a broker for a wall on one machine that need not survive a
// restart.
func Memory() push.Broker {
	return push.NewMemory(push.Rules(
		push.Rule{Pattern: wallTopic, Retention: push.Retention{Count: kept, Age: -1}},
		push.Rule{Pattern: visitorsTopic, Retention: push.Retention{Count: 1, Age: -1}},
	))
}

// New returns a wall over a broker, which it closes when it is drained.
func New(broker push.Broker, opts Options) *Wall {
	opts.DrainWindow = cmp.Or(opts.DrainWindow, 2*time.Second)
	w := &Wall{Options: opts, hub: push.NewHub(broker,
		push.WithPolicy(visitorsTopic, push.Latest), // of counts only the newest matters
		push.WithDrainWindow(opts.DrainWindow),
	)}
	w.hub.Handle(wallTopic, checkPost)
	w.hub.Handle(visitorsTopic, refuseCounts)
	c := newCensus(w.hub, opts.Node)
	w.visitors = newVisitors(c.publish)
	if opts.Node != "" { // one that died before may have left its counts behind
		go c.publish(w.visitors.counts())
	}
	return w
}

func (w *Wall) handler() http.Handler {
	e := echo.New()
	middleware.Mount(e.Group("/push"), w.hub, middleware.Config{
		Auth:           middleware.Public(push.Sub("**"), push.Pub("**"), push.Presence("**")),
		Presence:       middleware.Presence{Topics: []string{wallTopic}},
		Heartbeat:      w.Heartbeat,
		TrustedProxies: w.TrustedProxies,
		OnOpen:         w.opened,
		OnClose:        func(c middleware.Connection) { w.visitors.leave(c.ID) },
	})
	health := echo.WrapHandler(http.HandlerFunc(w.health))
	e.GET("/healthz", health)
	e.GET("/readyz", health)
	e.Match([]string{http.MethodGet, http.MethodHead}, "/*", echo.WrapHandler(Page(web())))
	return e
}

// opened counts a connection if it watches the wall.
func (w *Wall) opened(c middleware.Connection) {
	watches := func(pattern string) bool { return push.Match(pattern, wallTopic) }
	if !slices.ContainsFunc(c.Topics, watches) {
		return
	}
	counts := []string{c.Transport}
	for _, t := range c.Topics {
		if strings.HasPrefix(t, visitorPrefix) {
			counts = append(counts, t)
		}
	}
	w.visitors.join(c.ID, counts...)
}
