package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// The topics of the wall.
const (
	wallTopic     = "wall"
	visitorsTopic = "wall/visitors"
)

// kept is how many posts the wall keeps, however old they are.
const kept = 200

type wall struct {
	hub       *push.Hub
	visitors  *visitors
	heartbeat time.Duration
}

func newWall(heartbeat time.Duration) *wall {
	broker := push.NewMemory(push.Rules(
		push.Rule{Pattern: wallTopic, Retention: push.Retention{Count: kept, Age: -1}},
		push.Rule{Pattern: visitorsTopic, Retention: push.Retention{Count: 1, Age: -1}},
	))
	hub := push.NewHub(broker,
		push.WithPolicy(visitorsTopic, push.Latest), // of counts only the newest matters
		push.WithDrainWindow(2*time.Second),
	)
	hub.Handle(wallTopic, checkPost)
	hub.Handle(visitorsTopic, refuseCounts)
	w := &wall{hub: hub, heartbeat: heartbeat}
	w.visitors = newVisitors(w.publishCounts)
	return w
}

func (w *wall) publishCounts(counts map[string]int) {
	event, err := push.JSON(visitorsTopic, "visitors", counts)
	if err != nil {
		panic(err) // a map of numbers is JSON
	}
	_, _ = w.hub.Publish(context.Background(), event) // fails only once the hub is closed
}

func (w *wall) handler() http.Handler {
	e := echo.New()
	middleware.Mount(e.Group("/push"), w.hub, middleware.Config{
		Auth:      middleware.Public(push.Sub("**"), push.Pub("**"), push.Presence("**")),
		Presence:  middleware.Presence{Topics: []string{wallTopic}},
		Heartbeat: w.heartbeat,
		OnOpen:    w.opened,
		OnClose:   func(c middleware.Connection) { w.visitors.leave(c.ID) },
	})
	e.Match([]string{http.MethodGet, http.MethodHead}, "/*", echo.WrapHandler(page()))
	return e
}

// opened counts a connection if it watches the wall.
func (w *wall) opened(c middleware.Connection) {
	watches := func(pattern string) bool { return push.Match(pattern, wallTopic) }
	if slices.ContainsFunc(c.Topics, watches) {
		w.visitors.join(c.ID, c.Transport)
	}
}
