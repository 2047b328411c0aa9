// Package ws serves a subscription as a WebSocket (RFC 6455), on
// github.com/coder/websocket.
//
//	func stream(w http.ResponseWriter, r *http.Request) {
//		// check the Origin header here: see Serve
//		sub, err := hub.Subscribe(r.Context(), []string{"wall"}, push.FromHead(), push.WithHeartbeat(25*time.Second))
//		if err != nil {
//			…
//		}
//		defer sub.Close()
//		err = ws.Serve(w, r, sub, &ws.Options{Actions: actions})
//		if refusal, ok := errors.AsType[*ws.HandshakeError](err); ok {
//			http.Error(w, refusal.Reason, refusal.Status)
//		}
//	}
//
// # Envelopes: subprotocol push.v1
//
// Each event is one text message, the JSON envelope of package wire; control
// events are, too, push.open first. The client may send actions, one JSON
// object a text message:
//
//	{"action":"subscribe","ref":"1","topics":["a","b/*"],"last":20}
//	{"action":"unsubscribe","ref":"2","topics":["a"]}
//	{"action":"publish","ref":"3","topic":"a","event":"post","data":{"text":"hi"}}
//	{"action":"credentials","ref":"4","token":"…"}
//
// Actions are carried out in the order in which they come, and each is
// answered in that order, with its ref (a string of at most 64 bytes; an
// action without one is answered without one):
//
//	{"event":"push.reply","ref":"3","data":{"id":"a7.…"}}
//	{"event":"push.reply","ref":"3","data":{"problem":{"title":"Forbidden","status":403,"detail":"…"}}}
//
// data is the result, an object, or has the one member problem (RFC 9457). A
// reply has no id: it is not in the log. Events of a topic that was added may
// come before the reply. The members of actions, others being ignored:
//
//   - topics: 1 to 1000 topics and patterns.
//   - last, of subscribe: 0 to 1000. The reply then has the newest events.
//   - topic, of publish: where to; default the topic of the URL.
//   - event, key, idem: the event's name, conflation key and idempotency key.
//   - type: the media type; default application/json.
//   - data: any JSON if the type is JSON, else a string; with
//     "encoding":"base64" that string is in base64, as it has to be for types
//     that are not text.
//   - token, of credentials.
//
// A message that is no action, or one too many (Options.Rate), does nothing
// and is answered with a problem, 400 or 429. Who goes on sending such is
// disconnected with 1008, as is who sends a binary message.
//
// # Plain mode: subprotocol push.raw, another one, or none
//
// Each event is one message with its raw payload, binary if the event is.
// There are no control events; the heartbeat is a ping. There is no cursor
// either, so a hole closes with 1013. A message of the client publishes its
// payload to the topic of the URL: text as application/json if it is JSON,
// else as text/plain, binary as application/octet-stream. It is not answered;
// if it is refused the connection is closed, with 1013 if only for now
// (status 429 or 5xx, or too many messages), else with 1008.
//
// # How a connection ends
//
// The server closes with the code of a [push.CloseError], in push.v1 after a
// push.close that says the same and when to come back. Its own codes are 1002
// for what breaks RFC 6455, 1007 for text that is not UTF-8, 1008 for what is
// not allowed or too much, 1009 for a message above the limit, 1011 for a
// panic, 1012 when the request's context ends, 1013 as above. A client that
// was not heard of for Options.Ping is pinged, and given up 10 s later. Its
// close frame is answered at once. Nothing follows the server's close frame.
//
// # What it costs
//
// Over plain TCP, Start leaves a connection with one goroutine, which reads,
// and the hub writes it. Serve, and Start over anything else, have a second one
// that writes. Buffers are about half a kilobyte. Events are encoded once, as complete
// frames, for all connections; whatever a reader is behind goes out with one
// Write for 64 KiB. Messages are never compressed, so that frames can be
// shared and none can inflate.
//
// # Concurrency
//
// Serve blocks in the handler's goroutine, Start where it has to. Actions are called by one other
// goroutine, one after the other for each connection.
package ws
