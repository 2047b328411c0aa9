// Package redisbroker is the log on Redis Streams: any number of nodes, behind
// any load balancer, serve one log.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	hub := push.NewHub(redisbroker.New(rdb))
//
// A client that loses node A goes on at node B at its cursor, on whatever
// transport. It takes any redis.UniversalClient: one server, one that Sentinel
// watches, or a Cluster. The client stays yours: close it after the hub. Redis
// must be 7.0 or newer, and its maxmemory-policy noeviction (or maxmemory 0):
// anything else is refused with ErrConfig, since it drops parts of the log.
//
// # What is guaranteed, and what may be lost
//
// Nothing is ever lost silently to a reader: what is gone is told as a gap. What
// Publish acknowledged is as durable as the server makes it:
//
//   - appendfsync always: nothing is lost when nodes, the server or its machine
//     are killed, as long as the disk is there;
//   - appendfsync everysec: nothing or, while the disk is busy, up to two seconds
//     when the server is killed; a second, or two, when its machine dies;
//   - RDB snapshots: all since the last snapshot, at every crash;
//   - no persistence: everything, at every restart;
//   - a replica takes over (Sentinel, Cluster): what it had not got yet, whatever
//     appendfsync says, for replication is asynchronous. min-replicas-to-write
//     bounds for how long a master that is cut off goes on to acknowledge.
//
// A log that was lost comes back as another epoch. A log that lost only its end
// gets another epoch as soon as a node that knows more publishes or reads; Tail
// does so every second. If every node was restarted as well, nobody knows; a
// client's cursor that lies beyond the end, or names an event that is another
// one now, is a gap of reason epoch even then. What the name of an event is
// checked against is the feed (Config.Feed) and the topics asked for: a cursor
// for which both have nothing left is taken by its epoch.
//
// # Gaps
//
// A topic keeps Count+1 events. The oldest of a full topic is not in History any
// more: it is the evidence that says up to where events are gone, so that gaps
// are exact for each topic. Topics whose events are all too old leave nothing
// behind but a floor for all topics; below it every cursor gets a gap.
//
// What somebody else trims or deletes (XTRIM, XDEL, DEL, FLUSHALL) is told as a
// gap or as another epoch. Only whoever removes a topic's key and its member in
// the index of topics as well removes the evidence.
//
// # Retention
//
// Count, Age and Ephemeral of a push.Rule hold; Bytes cannot be kept. So memory
// is bounded by Count times Config.MaxEvent a topic, and the server's maxmemory:
// a server that is full refuses to publish, and says so.
//
// # Cost
//
// Publishing is one script, and what the goroutines of a node publish at a time
// is one exchange (group commit): the more publish, the cheaper it is. An event is
// stored twice, in its topic and in the feed of all. A page of History is two
// scripts, with patterns three; above 128 topics each further 128 cost another. All
// keys of a log are in one hash slot, since one total order is one writer: Cluster
// gives failover, not write scaling.
package redisbroker
