// Package r3labs lets a program that was written for the server of
// github.com/r3labs/sse/v2 run on a hub, with one line changed:
//
//	server := sse.New()          // before
//	server := r3labs.New(hub)    // after
//
// Events are still made as *sse.Event and published to streams, clients still
// ask with ?stream=. A stream is a topic of the hub (see Topic), so the same
// events can be read by any other transport as well.
//
// Clients of ?stream= see r3labs' wire: no control event of ours, and nothing
// is told of a gap. What differs from r3labs' server is what went wrong there:
//
//   - A subscriber that does not read is cut off after 30 s; nobody else
//     notices it. BufferSize is not used, for there is no queue.
//   - The log is bounded by the retention of the hub's broker.
//   - A client that comes back gets what is after its Last-Event-ID, without
//     the event that it has seen already. It can be any text: what is not
//     known (any more) replays all that is retained, and is never an error,
//     which would end an EventSource for good.
//   - An event's ID is kept if its publisher set one; else, with AutoReplay,
//     it is the hub's cursor. IDs with which clients resume should be unique
//     within a stream: of several equal ones the oldest holds, so that nothing
//     is lost.
//   - Data arrives as it is: lines are split always, with SplitData or without,
//     and CR, LF and CRLF arrive as LF. Without SplitData, data that starts
//     with a colon is still a comment.
//   - An event with neither Data nor Comment, which there closes every
//     connection of the stream, is not sent.
//   - An event with nothing but a Comment goes to those who are connected to
//     this process, and not into the log.
//   - Publish does not change the event, and does not wait for subscribers.
//
// When the hub drains, or a client is too slow, the connection is cut rather
// than ended: r3labs' own client takes an orderly end for the end of the
// stream and does not come back.
package r3labs
