package redisbroker_test

import (
	"testing"

	"github.com/dualpush-go/dualpush/push/pushtest"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// A replay is paged from the server: it never is in memory.
func TestReplayNeedsLittleMemory(t *testing.T) {
	pushtest.Replay(t, redisbroker.NewWithConfig(startServer(t, kernel...).open(t), redisbroker.Config{Rules: everythingIsKept}), *long)
}
