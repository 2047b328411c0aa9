//go:build !race

package sse_test

const poolLosses = 0
