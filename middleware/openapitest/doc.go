// Package openapitest checks, in its tests, what a mount says of itself in
// openapi.json against what it does. It is a module of its own so that users of
// the library do not get the validator into their version selection.
package openapitest
