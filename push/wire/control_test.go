package wire_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

func TestControlEventsOnTheWire(t *testing.T) {
	gap := &push.Gap{From: push.ID{Epoch: 2}, To: someID, Reason: push.ReasonLagged}
	for want, c := range map[string]push.Control{
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.heartbeat","data":{}}`:                                                                                         {Name: wire.Heartbeat},
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.gap","data":{"from":"a0.AAAAAAAAAAIAAAAA","to":"a1.AAAAAAAAAAIAAAAD","reason":"lagged","topics":["a","b/*"]}}`: {Name: wire.Gap, Data: wire.NewGapData(gap, []string{"a", "b/*"})},
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.close","data":{"code":1012,"reason":"bye","retry":1500}}`:                                                      {Name: wire.Close, Data: wire.NewCloseData(&push.CloseError{Code: 1012, Reason: "bye", Retry: 1500 * time.Millisecond})},
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.close","data":{"code":3003,"reason":""}}`:                                                                      {Name: wire.Close, Data: wire.NewCloseData(&push.CloseError{Code: 3003})},
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.subscriptions","data":{"topics":["a"]}}`:                                                                       {Name: wire.Subscriptions, Data: push.SubscriptionsData{Topics: []string{"a"}}},
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.open","data":{"connection":"c","topics":["a"],"heartbeat":25000}}`:                                             {Name: wire.Open, Data: wire.OpenData{Connection: "c", Topics: []string{"a"}, Heartbeat: 25000}},
		`{"id":"a1.AAAAAAAAAAIAAAAD","event":"push.open","data":{"connection":"c","topics":[],"heartbeat":0}}`:                                                    {Name: wire.Open, Data: wire.OpenData{Connection: "c", Topics: []string{}}},
	} {
		if got := string(wire.AppendControl(nil, someID, c.Name, c.Data)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestDataThatIsNoJSONIsAProgrammersError(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a function was taken as data")
		}
	}()
	wire.AppendData(nil, func() {})
}

func TestCloseErrorsAreErrors(t *testing.T) {
	var err error = &push.CloseError{Code: push.CloseDrain, Reason: "restarting"}
	var end *push.CloseError
	if !errors.As(err, &end) || err.Error() != "push: stream closed: 1012 restarting" || !json.Valid(wire.AppendData(nil, wire.NewCloseData(end))) {
		t.Errorf("%v", err)
	}
}
