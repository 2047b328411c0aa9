//go:build race

package sse_test

// Under the race detector a sync.Pool loses a quarter of what it is given.
const poolLosses = 1.2
