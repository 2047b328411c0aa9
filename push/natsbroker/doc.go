// Package natsbroker is the log on NATS JetStream: any number of nodes, behind
// any load balancer, serve one log.
//
//	nc, err := nats.Connect("nats://a,nats://b,nats://c", nats.MaxReconnects(-1))
//	js, err := jetstream.New(nc)
//	hub := push.NewHub(natsbroker.New(js))
//
// A client that loses node A goes on at node B at its cursor, on whatever
// transport. Without a server of your own, package embedded runs one inside the
// process. nats-server must be 2.11 or newer (per-message TTL, batched direct
// gets); tests run against 2.15.
//
// # What is guaranteed, and what may be lost
//
// Nothing is ever lost silently to a reader: what is gone is told as a gap. Of
// what Publish acknowledged may be lost
//
//   - with one replica and files (the default): nothing when nodes or the server
//     are killed; when the server's machine dies, what was not yet on its disk:
//     two minutes with the server's default sync_interval, nothing with
//     "sync_interval: always";
//   - with Config.Replicas 3 and files: nothing as long as a majority of the
//     servers keeps its disks. While there is no majority Publish fails;
//   - with Config.Memory: everything at a restart of the server (one replica), or
//     when a majority restarts at once (three).
//
// A log that was lost, or was deleted, comes back as another epoch. A log that
// lost only its end gets another epoch as soon as a node that knows more sees it:
// before that node publishes or tails again. If every node was restarted as
// well, nobody knows; a client's cursor that lies beyond the end, or names an
// event that is another one now, is a gap of reason epoch even then. An event that
// was acknowledged within the moment in which another node recreates a lost
// stream may carry the old epoch in the ID that Publish returned.
//
// # Gaps
//
// A stream keeps Count+1 messages a topic. The oldest of a full topic is not in
// History any more: it is the evidence that says up to where events are gone, so
// that gaps are exact for each topic. What goes by Config.Age or MaxBytes takes
// the evidence along; below that floor every cursor gets a gap. Ticks on a
// subject of their own keep the floor where age has put it.
//
// The stream forbids deleting and purging messages (deny_delete, deny_purge):
// a hole that somebody makes in a subject leaves no evidence. Whoever edits the
// stream's limits makes this broker say so (ErrConfig): it is not ready until
// they are as Config says. It never changes a stream's limits itself.
//
// # Cost
//
// Events that reach a node together wait up to a millisecond for more, so that a
// burst is one write for each reader. Publishing is one message, pipelined. An
// idempotency key costs the server a quarter of its throughput: only events that
// have one send it. A page of History is four to six requests; a reader that is
// more than Count sequences behind and asks for a pattern costs one request for
// each full topic that matches, too.
// With more than one replica, pages are read from any of them, and the leader is
// asked whether that was all.
package natsbroker
