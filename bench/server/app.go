package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"

	"pushbench/peers/kit"
)

// newApp returns the app: every option at its default.
func newApp(hub *push.Hub) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	middleware.Mount(e.Group("/push"), hub, middleware.Config{
		Auth: middleware.Public(push.Sub("**"), push.Pub("**")),
	})
	e.GET("/burst", burst(hub))
	e.GET("/gc", gc)
	return e
}

// burst publishes what the query asks for, each event by a Publish of its own,
// as opaque text: the payload happens to be JSON, but no floor and no peer
// looks into it either.
func burst(hub *push.Hub) echo.HandlerFunc {
	return func(c echo.Context) error {
		var failed error
		kit.Burst(c.QueryParam, func(topic string, _ int, payload []byte) {
			_, err := hub.Publish(context.Background(), push.Event{Topic: topic, Data: payload})
			if err != nil {
				failed = err
			}
		})
		if failed != nil {
			return failed
		}
		return c.String(http.StatusOK, "ok")
	}
}

// gc frees what can be freed, as package kit does it for the peers.
func gc(c echo.Context) error {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	return c.String(http.StatusOK, fmt.Sprintf("goroutines %d\n", runtime.NumGoroutine()))
}
