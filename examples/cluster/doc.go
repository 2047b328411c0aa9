// A wall on three nodes: a browser that loses its node goes on at another one,
// at its cursor, and nothing is lost or comes twice.
//
//	go -C examples/cluster run . -addr 127.0.0.1:8080
//
// That one process is the broker (nats-server, with files in a directory that is
// removed at the end), the load balancer, the page, and the parent of three
// nodes. The page shows which visitor is on which node; its buttons kill a node,
// start it again, and restart it gently. Meanwhile a numbered event comes twenty
// times a second, and the page counts those that it missed and those that came
// twice.
//
// One node alone, for a real cluster (see deploy):
//
//	cluster node -addr :8080 -nats nats://nats:4222 -name "$HOSTNAME"
//	cluster node -addr :8080 -redis redis://redis:6379 -name "$HOSTNAME"
//
// GET /healthz says that it lives, GET /readyz whether it is to get requests.
// SIGTERM drains: for -grace it is not ready and goes on, so that load balancers
// see it; then its streams are told to come back, spread over -drain.
package main
