package main

import (
	"fmt"
	"io"
	"slices"

	"pushbench/internal/results"
)

// figure is something that the project has promised.
type figure struct {
	what  string
	want  string
	check func(*results.Set) (measured string, v verdict)
	floor func(*results.Set) string // how far the floor's own rounds lie apart; may be nil
}

type verdict string

const (
	reached     verdict = "yes"
	missed      verdict = "NO"
	notMeasured verdict = "not measured"
	told        verdict = "told" // nothing was promised
)

const (
	ourSSE  = "dualpush-sse"
	ourWS   = "dualpush-ws"     // envelopes
	ourRaw  = "dualpush-ws-raw" // payloads only, as the floor and the peers send
	uws     = "uwebsockets.js"
	goSSE   = "tmaxmax-go-sse"
	r3labs  = "r3labs-sse"
	nethttp = "floor-nethttplog"
	hijack  = "floor-hijackqueue"
	coder   = "floor-coderlog"
)

// centrifuge is how much slower than floor-hijackqueue Centrifuge was in
// broadcast, in deliveries/s, when both were measured beside each other: it is
// no module that this one can be built with.
const centrifuge = 0.96 / 8.9

var way = map[string]string{ourSSE: "SSE", ourWS: "WebSocket", ourRaw: "WebSocket, payloads only"}

var figures = slices.Concat(
	broadcast(), single(), atARate(), overload(), topics(), idleMemory(), reconnect(), stalledReader(), many(),
	inProcess(), handlerWriter(),
)

func broadcast() []figure {
	const test = "broadcast"
	return []figure{
		costs(test, ourSSE, hijack, 1.15),
		costs(test, ourWS, coder, 1.2),
		costs(test, ourRaw, coder, 1.2),
		faster(test, ourSSE, uws, 2),
		fasterThrough(test, ourSSE, hijack, "Centrifuge", centrifuge, 8),
		faster(test, ourSSE, r3labs, 50),
	}
}

func single() []figure {
	const test = "single"
	return []figure{
		costs(test, ourSSE, hijack, 1.05),
		costs(test, ourWS, coder, 1.1),
		costs(test, ourRaw, coder, 1.1),
		faster(test, ourSSE, uws, 1),
	}
}

func atARate() (fs []figure) {
	const test = "rate"
	for _, name := range []string{ourSSE, ourWS, ourRaw} {
		fs = append(fs, costs(test, name, hijack, 1.1), late(test, name, 1.2), beside(test, name, uws))
	}
	return fs
}

func overload() (fs []figure) {
	const test = "overload"
	for _, name := range []string{ourSSE, ourWS, ourRaw} {
		fs = append(fs, complete(test, name), late(test, name, 1.3))
	}
	return fs
}

func topics() (fs []figure) {
	const test = "topics"
	for _, name := range []string{ourSSE, ourWS, ourRaw} {
		fs = append(fs, costs(test, name, hijack, 1.1), faster(test, name, uws, 1))
	}
	return fs
}

func idleMemory() []figure {
	return []figure{
		atMost("idle: an SSE connection, KB (aim: 2)", "idle", ourSSE, "kb_per_conn", 3),
		measured("idle: an SSE connection after /gc, KB", "idle", ourSSE, "kb_per_conn_gc"),
		atMost("idle: a WebSocket, KB", "idle", ourWS, "kb_per_conn", 12),
		atMost("idle: a WebSocket after /gc, KB", "idle", ourWS, "kb_per_conn_gc", 9),
	}
}

func reconnect() (fs []figure) {
	const test, caught = "reconnect", "caught_up_s"
	for _, name := range []string{ourSSE, ourWS} {
		what := test + ", " + way[name]
		fs = append(fs,
			complete(test, name),
			compare(what+": caught up", "≤ 1.15 × all back", name, []string{test}, over(of(test, name, caught), of(test, name, "reconnect_s")), upTo(1.15)),
			compare(what+": caught up", "≤ 1 × "+goSSE, name, []string{test}, over(of(test, name, caught), of(test, goSSE, caught)), upTo(1)),
			measured(what+": CPU µs for each replayed event", test, name, "cpu_us_per_deliv"),
		)
	}
	return fs
}

func stalledReader() (fs []figure) {
	tests := []string{"stall", "unstalled"}
	beside := func(name, field string) value {
		return over(of("stall", name, field), of("unstalled", name, field))
	}
	for _, name := range []string{ourSSE, ourWS} {
		what := "stall, " + way[name]
		fs = append(fs,
			compare(what+": speed of the others", "≥ 0.9 × unstalled", name, tests, beside(name, speed), from(0.9)),
			compare(what+": memory", "≤ 1.25 × unstalled", name, tests, beside(name, "rss_load_kb"), upTo(1.25)),
		)
	}
	return fs
}

func many() []figure {
	return []figure{
		complete("conns19k", ourSSE), grows(ourSSE, hijack),
		complete("conns19k", ourWS), grows(ourWS, coder),
		complete("conns19k", ourRaw), grows(ourRaw, coder),
	}
}

func inProcess() []figure {
	return []figure{
		atMost("publish without reader, with history: ns", "micro", "publish", "ns_per_op", 300),
		atMost("publish without reader, with history: allocations", "micro", "publish", "allocs_per_op", 2),
		atMost("encode once: allocations for each further reader", "micro", "next-reader", "allocs_per_op", 0),
	}
}

func handlerWriter() (fs []figure) {
	for _, x := range []struct{ how, name, floor string }{
		{"over plain TCP by force", ourSSE + "-handler", nethttp},
		{"wrapped listener", ourSSE + "-wrapped", nethttp},
		{"TLS", ourSSE + "-tls", nethttp + "-tls"},
		{"HTTP/2", ourSSE + "-h2", nethttp + "-h2"},
	} {
		f := costs("broadcast", x.name, x.floor, 1.15)
		f.what = "handler writer, " + x.how + ": CPU a delivery"
		fs = append(fs, f)
	}
	return fs
}

func writeFigures(w io.Writer, set *results.Set, figures []figure) {
	fmt.Fprintf(w, "\n### figures\n\n")
	rows := make([][]string, 0, 1+len(figures))
	rows = append(rows, []string{"", "wanted", "measured", "floor's spread", "reached"})
	count := map[verdict]int{}
	for _, f := range figures {
		measured, v := f.check(set)
		spread := ""
		if f.floor != nil {
			spread = f.floor(set)
		}
		rows = append(rows, []string{f.what, f.want, measured, spread, string(v)})
		count[v]++
	}
	writeRows(w, rows)
	fmt.Fprintf(w, "\n%d reached, %d not reached, %d not measured.\n", count[reached], count[missed], count[notMeasured])
}
