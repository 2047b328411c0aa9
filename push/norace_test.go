//go:build !race

package push_test

const (
	raceDetector = false
	allocSlack   = 0
)
