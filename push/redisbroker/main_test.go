package redisbroker_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// fewHistories are the random histories of a check, unless -rapid.checks says
// otherwise: each step of one is an exchange with a server.
const fewHistories = "25"

// long makes the tests as long as they are worth; see make soak-fleet.
var long = flag.Bool("long", false, "1,000,000 deliveries, 50 kills of nodes and 50 of the server; every page")

// clientsOwn are goroutines that a FailoverClusterClient leaves behind when it is
// closed: its subscription to Sentinel. The broker subscribes to nothing.
var clientsOwn = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*sentinelFailover).listen"),
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*channel).initHealthCheck.func1"),
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*channel).initMsgChan.func1"),
}

func TestMain(m *testing.M) {
	if socket := os.Getenv(nodeSocket); socket != "" {
		runNode(socket)
	}
	if f := flag.Lookup("rapid.checks"); f != nil {
		_ = f.Value.Set(fewHistories)
	}
	flag.Parse()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(clientsOwn...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
