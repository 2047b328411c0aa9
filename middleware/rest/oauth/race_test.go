//go:build race

package oauth_test

// raceFactor is by how much the race detector may slow things down.
const raceFactor = 20
