// Package push publishes events to any number of subscribers through one
// ordered log. It needs only the standard library.
//
//	hub := push.New()
//	hub.Publish(ctx, push.Event{Topic: "wall", Data: []byte("hello")})
//
//	sub, err := hub.Subscribe(ctx, []string{"wall", "news/**"}, push.FromHead())
//	defer sub.Close()
//	for {
//		batch, err := sub.Next(ctx)
//		…
//	}
//
// # Concepts
//
// A [Broker] is an ordered, append-only log of events. A [Subscription] is a
// position in that log plus a set of topics. A transport (packages sse, ws,
// poll) is only a way to send a reader the bytes after its position. The
// position is the cursor that clients carry, the same on every transport: an
// [ID] is the id of an SSE event, of an envelope, and the after of a poll.
//
// A subscriber has no queue. One that is slow falls behind in the log, which
// is bounded by its [Retention]; what it then cannot have any more it is told
// as a [Gap], unless its [Policy] says otherwise. A publisher never waits for a
// subscriber.
//
// A [Hub] connects the two. Over a [Memory] broker it reads that broker's log;
// over any other it keeps a window onto the tail of the log, and reads what is
// older with History.
//
// # Concurrency
//
// Hub, Memory and Subscription are safe for concurrent use, except that one
// goroutine at a time calls a subscription's Next. Events and messages that
// came out of a log are shared and immutable.
package push
