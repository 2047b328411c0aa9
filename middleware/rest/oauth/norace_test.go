//go:build !race

package oauth_test

const raceFactor = 1
