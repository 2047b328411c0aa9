//go:build race

package push_test

// raceDetector makes everything an order slower, and sync.Pool forgetful.
const raceDetector = true

// allocSlack is what a pool that forgets a part of what it gets costs.
const allocSlack = 1
