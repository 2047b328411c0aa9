// The wall is a page on which everybody sees everybody's posts at once,
// whether it reads them over WebSocket, SSE or long polling: the page uses the
// client that the mount serves, and shows over what it is live.
//
//	go run ./examples/wall -addr 127.0.0.1:8080
//
// -heartbeat shortens the silence after which a stream says that it is alive.
// SIGTERM and SIGINT drain: the streams are told to come back, then the server
// ends, within five seconds.
//
// The hub is mounted at /push. Posts are events named "post" on the topic
// "wall"; how many people watch, by transport, is the newest event of
// "wall/visitors". All other topics are open, for trying things out.
package main
