// Package sse streams a subscription as server-sent events, reads such streams
// by the rules of the WHATWG HTML standard (section 9.2), and reconnects like a
// browser's EventSource. The same stream is served as NDJSON, too.
//
//	func stream(w http.ResponseWriter, r *http.Request) {
//		sub, err := hub.Subscribe(r.Context(), []string{"wall"}, push.AfterCursor(sse.Cursor(r)))
//		if err != nil {
//			…
//		}
//		defer sub.Close()
//		_ = sse.Serve(w, r, sub, nil)
//	}
//
// # What is on the wire
//
// Every event has an id, the cursor with which a client resumes: an
// EventSource sends it back by itself as Last-Event-ID. Only LF ends lines.
//
//   - [FormatRaw]: data is the event's payload. Text and JSON come line by line,
//     and CR, LF and CRLF in them all arrive as LF; binary comes in base64. The
//     event's name, if it has one, is the SSE event type.
//   - [FormatEnvelope]: data is the JSON envelope of package wire; the event type
//     is the event's name as in raw, so that addEventListener works.
//   - [FormatNDJSON]: one JSON envelope a line.
//
// Control events (push.open, push.gap, …) have their name as the event type
// and the reader's position as id. In FormatRaw data is their JSON object; in
// FormatEnvelope it is their envelope, as with any event there, so that one
// parser suffices. A heartbeat in FormatRaw has an empty data line: a browser
// ignores an id without one. A push.close that says when to come back sets the
// reconnection time, too.
//
// # Concurrency
//
// Serve and Refuse run in the handler's goroutine. A Decoder and one iteration
// of a Client's Events belong to one goroutine at a time.
package sse
