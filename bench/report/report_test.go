package main

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pushbench/internal/results"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line is one round that delivered everything, with changes.
func line(key, name string, change map[string]any) string {
	r := map[string]any{
		"key": key, "name": name, "subs": 10, "established": 10, "resume_ids": 10, "received": 100, "lost": 0, "dup": 0,
		"cpu_us_per_deliv": 1.0, "deliv_per_s": 1000.0, "loader_cpu_share": 0.5, "srv_cpu_share": 1.0, "core_us_per_deliv": 1.0,
	}
	maps.Copy(r, change)
	b, _ := json.Marshal(r)
	return string(b) + "\n"
}

func set(t *testing.T, lines ...string) *results.Set {
	s, err := results.Read(strings.NewReader(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type fields = map[string]any

func TestFiguresAreJudged(t *testing.T) {
	floor := line("broadcast", hijack, nil)
	cpu := costs("broadcast", ourSSE, hijack, 1.6)
	memory := atMost("", "idle", ourSSE, "kb_per_conn", 30)
	again := complete("reconnect", ourSSE)
	stall := stalledReader()[0]
	bounded := stalledReader()[1]
	alone := line("unstalled", ourSSE, fields{"rss_load_kb": 1000.0})
	quick := faster("broadcast", ourSSE, uws, 2)
	through := fasterThrough("broadcast", ourSSE, hijack, "Centrifuge", 0.125, 8)
	growth := grows(ourSSE, hijack)
	thousand := line("conns1k", ourSSE, nil) + line("conns1k", hijack, nil) + line("conns19k", hijack, fields{"cpu_us_per_deliv": 2.0})
	back := reconnect()[1]
	asGoSSE := reconnect()[2]
	for _, test := range []struct {
		name   string
		figure figure
		lines  []string
		want   verdict
	}{
		{"CPU at the limit", cpu, []string{floor, line("broadcast", ourSSE, fields{"cpu_us_per_deliv": 1.6})}, reached},
		{"CPU above it", cpu, []string{floor, line("broadcast", ourSSE, fields{"cpu_us_per_deliv": 1.61})}, missed},
		{"CPU without the floor", cpu, []string{line("broadcast", ourSSE, nil)}, notMeasured},
		{"CPU without ours", cpu, []string{floor}, notMeasured},
		{"CPU low because events were lost", cpu, []string{floor, line("broadcast", ourSSE, fields{"lost": 1})}, missed},
		{"CPU low because nothing came", cpu, []string{floor, line("broadcast", ourSSE, fields{"received": 0})}, missed},
		{"CPU with a floor that failed", cpu, []string{floor, line("broadcast", hijack, fields{"error": "x"}), line("broadcast", ourSSE, nil)}, notMeasured},
		{"p99 above the limit", late("rate", ourSSE, 1.2), []string{line("rate", hijack, fields{"p99_ms": 10}), line("rate", ourSSE, fields{"p99_ms": 12.1})}, missed},
		{"p99 at it", late("rate", ourSSE, 1.2), []string{line("rate", hijack, fields{"p99_ms": 10}), line("rate", ourSSE, fields{"p99_ms": 12})}, reached},
		{"twice a peer", quick, []string{line("broadcast", ourSSE, fields{"deliv_per_s": 2000}), line("broadcast", uws, nil)}, reached},
		{"not quite", quick, []string{line("broadcast", ourSSE, fields{"deliv_per_s": 1999}), line("broadcast", uws, nil)}, missed},
		{"a peer that was not measured", quick, []string{line("broadcast", ourSSE, nil)}, notMeasured},
		{"as fast as the floor, which is eight times a peer", through, []string{floor, line("broadcast", ourSSE, nil)}, reached},
		{"slower than that", through, []string{floor, line("broadcast", ourSSE, fields{"deliv_per_s": 999})}, missed},
		{"told, not judged", beside("rate", ourSSE, uws), []string{line("rate", uws, nil), line("rate", ourSSE, fields{"cpu_us_per_deliv": 9})}, told},
		{"grows as the floor does", growth, []string{thousand, line("conns19k", ourSSE, fields{"cpu_us_per_deliv": 2.3})}, reached},
		{"grows more", growth, []string{thousand, line("conns19k", ourSSE, fields{"cpu_us_per_deliv": 2.31})}, missed},
		{"growth of nothing", growth, []string{line("conns19k", ourSSE, nil)}, notMeasured},
		{"memory at the limit", memory, []string{line("idle", ourSSE, fields{"kb_per_conn": 30})}, reached},
		{"memory above it", memory, []string{line("idle", ourSSE, fields{"kb_per_conn": 30.1})}, missed},
		{"memory not measured", memory, nil, notMeasured},
		{"memory in a round that failed", memory, []string{line("idle", ourSSE, fields{"error": "x"})}, notMeasured},
		{"all came back", again, []string{line("reconnect", ourSSE, nil)}, reached},
		{"lost in one of three rounds", again, []string{line("reconnect", ourSSE, nil), line("reconnect", ourSSE, fields{"lost": 1}), line("reconnect", ourSSE, nil)}, missed},
		{"doubled", again, []string{line("reconnect", ourSSE, fields{"dup": 1})}, missed},
		{"lost afterwards", again, []string{line("reconnect", ourSSE, fields{"live_lost": 1})}, missed},
		{"one without an id", again, []string{line("reconnect", ourSSE, fields{"resume_ids": 9})}, missed},
		{"one that was kicked", complete("overload", ourSSE), []string{line("overload", ourSSE, fields{"died": 1})}, missed},
		{"one that never connected", complete("conns19k", ourSSE), []string{line("conns19k", ourSSE, fields{"established": 9})}, missed},
		{"caught up soon", back, []string{line("reconnect", ourSSE, fields{"caught_up_s": 1.15, "reconnect_s": 1})}, reached},
		{"caught up late", back, []string{line("reconnect", ourSSE, fields{"caught_up_s": 1.16, "reconnect_s": 1})}, missed},
		{"later than go-sse", asGoSSE, []string{line("reconnect", goSSE, fields{"caught_up_s": 1}), line("reconnect", ourSSE, fields{"caught_up_s": 1.1})}, missed},
		{"as fast", stall, []string{alone, line("stall", ourSSE, fields{"deliv_per_s": 900.0})}, reached},
		{"slower", stall, []string{alone, line("stall", ourSSE, fields{"deliv_per_s": 899.0})}, missed},
		{"fast, but events were lost", stall, []string{alone, line("stall", ourSSE, fields{"lost": 1})}, missed},
		{"nothing to compare with", stall, []string{line("stall", ourSSE, nil)}, notMeasured},
		{"a queue for who does not read", bounded, []string{alone, line("stall", ourSSE, fields{"rss_load_kb": 1260.0})}, missed},
	} {
		if measured, got := test.figure.check(set(t, test.lines...)); got != test.want {
			t.Errorf("%s: %s (%s), want %s", test.name, got, measured, test.want)
		}
	}
}

func TestDeliveriesAreToldByCPUToo(t *testing.T) {
	s := set(t, line("broadcast", ourSSE, fields{"deliv_per_s": 1500, "cpu_us_per_deliv": 0.5}), line("broadcast", uws, nil))
	if text, v := faster("broadcast", ourSSE, uws, 2).check(s); text != "1.50 × (by CPU 2.00 ×)" || v != missed {
		t.Errorf("%q, %s", text, v)
	}
}

// How far the floor lies from itself says what a ratio to it is worth.
func TestFiguresTellTheFloorsSpread(t *testing.T) {
	s := set(t, line("broadcast", ourSSE, nil), line("broadcast", hijack, nil), line("broadcast", hijack, fields{cpu: 2.0}), line("broadcast", hijack, fields{cpu: 2.5}))
	var b strings.Builder
	writeFigures(&b, s, []figure{costs("broadcast", ourSSE, hijack, 1.15), complete("broadcast", ourSSE), complete("idle", ourSSE)})
	want := `
### figures

|                                |                      wanted |          measured | floor's spread |      reached |
| ------------------------------ | --------------------------: | ----------------: | -------------: | -----------: |
| broadcast, SSE: CPU a delivery |  ≤ 1.15 × floor-hijackqueue |            0.50 × |           75 % |          yes |
| broadcast, SSE                 | 0 lost, 0 doubled, all stay | 0 lost, 0 doubled |                |          yes |
| idle, SSE                      | 0 lost, 0 doubled, all stay |                   |                | not measured |

2 reached, 0 not reached, 1 not measured.
`
	if b.String() != want {
		t.Errorf("got%s\nwant%s", b.String(), want)
	}
}

// A typing error in a figure's name would show as "not measured" for ever.
func TestFiguresAreOfPeersAndTestsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../peers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests map[string]any
		Peers map[string]struct{ Skip []string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for test := range file.Tests {
		for name, p := range file.Peers {
			if !slices.Contains(p.Skip, test) {
				b.WriteString(line(test, name, fields{
					"p99_ms": 1, "kb_per_conn": 1, "kb_per_conn_gc": 1, "caught_up_s": 1, "reconnect_s": 1, "rss_load_kb": 1,
				}))
			}
		}
	}
	b.WriteString(line("micro", "publish", nil) + line("micro", "next-reader", nil))
	s := set(t, b.String())
	for _, f := range figures {
		if _, v := f.check(s); v == notMeasured {
			t.Errorf("%s, %s: not measured, though everything was", f.what, f.want)
		}
	}
}

func TestFiguresWithoutResultsAreNotReached(t *testing.T) {
	for _, f := range figures {
		if measured, v := f.check(set(t)); v != notMeasured {
			t.Errorf("%s: %s (%s)", f.what, v, measured)
		}
	}
}

func TestTableHasRatiosToTheFloorsOfTheRun(t *testing.T) {
	s := set(t,
		line("single", "slow", fields{"cpu_us_per_deliv": 30.0, "deliv_per_s": 123456.0}),
		line("single", "floor-nethttplog", fields{"cpu_us_per_deliv": 10.0}),
		line("single", "floor-nethttplog", fields{"cpu_us_per_deliv": 30.0}),
		line("broadcast", "floor-hijackqueue", nil),
	)
	var b strings.Builder
	writeTable(&b, s, "single")
	want := `
### single: 1000 subscribers of one topic, one event at a time

|                  | rounds | deliveries/s | CPU µs each | spread | × nethttplog | loader | lost | dup |
| ---------------- | -----: | -----------: | ----------: | -----: | -----------: | -----: | ---: | --: |
| floor-nethttplog |      2 |        1.0 k |          20 |  100 % |         1.00 |   50 % |    0 |   0 |
| slow             |      1 |      123.5 k |          30 |        |         1.50 |   50 % |    0 |   0 |
`
	if b.String() != want {
		t.Errorf("got%s\nwant%s", b.String(), want)
	}
}

// Time spent waiting for what never came is not in deliveries/s, so a server
// that loses events looks fast beside a reader that stopped.
func TestStallTableDoesNotPraiseLoss(t *testing.T) {
	for _, lost := range []int{0, 7} {
		s := set(t, line("unstalled", "x", nil), line("stall", "x", fields{"lost": lost}))
		if got, want := ofUnstalled(s, "stall", "x"), map[int]string{0: "1.00", 7: ""}[lost]; got != want {
			t.Errorf("%d lost: ratio %q, want %q", lost, got, want)
		}
	}
}

func TestDoubtfulNumbersCarryAWarning(t *testing.T) {
	for _, test := range []struct {
		change fields
		want   string
	}{
		{fields{"loader_cpu_share": 0.96}, "! single, x: the loader was the limit"},
		{fields{"stop": "three bursts lost events"}, "! single, x: three bursts lost events"},
		{fields{"error": "did not listen"}, "! single, x: did not listen"},
		{fields{"core_us_per_deliv": 3.0}, "in 1 of 2 runs, up to 2.0 times"},
	} {
		var b strings.Builder
		writeWarnings(&b, set(t, line("single", "x", test.change), line("single", "y", nil)))
		if !strings.Contains(b.String(), test.want) {
			t.Errorf("%v: %q lacks %q", test.change, b.String(), test.want)
		}
	}
	var b strings.Builder
	writeWarnings(&b, set(t, line("single", "y", nil)))
	if strings.TrimSpace(b.String()) != "" {
		t.Errorf("a good run is warned of: %q", b.String())
	}
}
