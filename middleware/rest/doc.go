// Package rest is the mount without a framework: one http.Handler that answers
// with SSE, WebSocket, JSON pages or long polls at the same URL, by what a
// request is able to take, and the REST resources around them. Package
// middleware is its skin for Echo. docs/PROTOCOL.md describes the wire.
//
// Resources, under the mount:
//
//	GET, POST   /topics/{topic}                    stream, history, one event (?id=); publish
//	GET         /events?topic=a&topic=b/*          the same for many topics and patterns
//	POST        /batch                             up to 100 events
//	GET, PATCH  /connections/{cid}/subscriptions   of a live stream
//	POST        /connections/{cid}/messages        what a WebSocket frame can do
//	PUT         /connections/{cid}/credentials     fresh credentials for a live stream
//	DELETE      /connections/{cid}                 end it
//	GET         /presence/{topic}                  who is there
//	POST        /tickets, /revocations             for clients without headers; for administrators
//	GET         /openapi.json, /client.js          this table for machines; the browser client
//
// The table itself is in routes.go. GET is HEAD, too, and OPTIONS says what
// there is.
package rest
