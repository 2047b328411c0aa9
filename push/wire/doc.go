// Package wire is what all transports say: the JSON envelope, the control
// events with their data, and the loop that turns a subscription's batches
// into bytes. docs/PROTOCOL.md describes it for clients.
package wire
