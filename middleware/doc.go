// Package middleware serves a hub in an Echo v4 app: live streams by
// EventSource, WebSocket or polling, whatever the client is able to take, and
// the REST resources around them, all at one URL.
//
//	hub := push.New()
//	e := echo.New()
//	middleware.Mount(e.Group("/push"), hub, middleware.Config{
//		Auth: middleware.Public(push.Sub("wall")),
//	})
//
// and in the page: new EventSource("/push/topics/wall").
//
// [Live] makes a route of the app's own live:
//
//	e.GET("/orders/:id", show, middleware.Live(hub))
//
// Both work inside and outside Echo's own middlewares, in any order: streams
// pass by Gzip and BodyDump, outlive the deadline of ContextTimeout or end shortly
// before it with a word to come back, and answer 500 with a line in the log that says so where Timeout is in the way.
// Access logs see a stream when it ends; use OnOpen and OnClose.
//
// The package is a thin skin over middleware/rest, which knows no framework.
package middleware
