package main

import "testing"

func TestEveryDeliveryIsCounted(t *testing.T) {
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := new(fake).run(t, mode, "-test", "broadcast")
			if r.Lost != 0 || r.Dup != 0 || r.OutOfOrder != 0 || r.StopReason != "" {
				t.Errorf("%d lost, %d doubled, %d late, stop %q; nothing of that happened", r.Lost, r.Dup, r.OutOfOrder, r.StopReason)
			}
			if want := uint64(20 * r.Published); r.Received != want || r.Published < 10 {
				t.Errorf("%d received of %d published to 20, want %d", r.Received, r.Published, want)
			}
			if r.DelivPerS <= 0 || r.CPUus <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
				t.Errorf("%g deliveries/s, %g µs each, p50 %g, p99 %g", r.DelivPerS, r.CPUus, r.P50, r.P99)
			}
		})
	}
}

// A load generator that overlooks what its server does wrong is worth nothing.
func TestFaultsOfAServerAreSeen(t *testing.T) {
	lossy := fake{loses: 7} // the first five warm up
	if r := lossy.run(t, "sse", "-test", "broadcast"); r.Lost != 20 || r.Expected != r.Received+20 {
		t.Errorf("20 subscribers did not get one event: %d lost, %d expected, %d received", r.Lost, r.Expected, r.Received)
	}
	doubling := fake{doubles: 7}
	if r := doubling.run(t, "ws", "-test", "broadcast"); r.Dup != 20 || r.Lost != 0 {
		t.Errorf("20 subscribers got one event twice: %d doubled, %d lost", r.Dup, r.Lost)
	}
	forgetful := fake{forgets: true}
	if r := forgetful.run(t, "sse", "-test", "reconnect", "-missed", "30"); r.Lost != 20*30 || r.CaughtUpS != 0 {
		t.Errorf("nothing was replayed: %d lost, caught up in %g s", r.Lost, r.CaughtUpS)
	}
	repeating := fake{repeats: 1}
	if r := repeating.run(t, "sse", "-test", "reconnect", "-missed", "30"); r.Dup != 20 || r.Lost != 0 {
		t.Errorf("one event too many was replayed to 20: %d doubled, %d lost", r.Dup, r.Lost)
	}
}

func TestReconnectGetsWhatWasMissed(t *testing.T) {
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := new(fake).run(t, mode, "-test", "reconnect", "-missed", "30")
			if r.ResumeIDs != 20 || r.Received != 20*30 || r.Lost != 0 || r.Dup != 0 || r.LiveLost != 0 || r.CaughtUpS <= 0 {
				t.Errorf("%d had an id; %d of 600 received, %d lost, %d doubled, %d lost live, caught up in %g s",
					r.ResumeIDs, r.Received, r.Lost, r.Dup, r.LiveLost, r.CaughtUpS)
			}
		})
	}
}

func TestFixedRateKeepsItsRate(t *testing.T) {
	r := new(fake).run(t, "sse", "-test", "rate", "-rate", "200", "-dur", "200ms")
	if r.Published != 40 || r.Received != 800 || r.Lost != 0 {
		t.Errorf("%d published at 200/s in 0.2 s, %d received, %d lost; want 40, 800, 0", r.Published, r.Received, r.Lost)
	}
}

func TestAStalledReaderIsNotCountedAsLost(t *testing.T) {
	r := new(fake).run(t, "sse", "-test", "stall", "-stall", "2")
	if r.Stalled != 2 || r.StalledShut != 0 || r.Lost != 0 || r.Received != uint64(18*r.Published) {
		t.Errorf("%d stalled, %d of them closed, %d lost, %d received of %d for 18", r.Stalled, r.StalledShut, r.Lost, r.Received, r.Published)
	}
}

func TestOtherMachinesAreNotLoaded(t *testing.T) {
	cfg, err := parse([]string{"-url", "http://192.0.2.1:80/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newLoader(cfg); err == nil {
		t.Error("an address that is not loopback was accepted")
	}
}

// What carries TLS reads on for a client that stopped: it cannot show a stall.
func TestWhatTLSCannotShowIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-url", "https://127.0.0.1:1/", "-test", "stall"},
		{"-url", "http://127.0.0.1:1/", "-h2"},
		{"-url", "https://127.0.0.1:1/", "-h2", "-mode", "ws"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
