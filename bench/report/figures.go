package main

import (
	"fmt"
	"io"
	"strconv"

	"pushbench/internal/results"
)

// figure is something that the project has promised.
type figure struct {
	what  string
	want  string
	check func(*results.Set) (measured string, v verdict)
}

type verdict string

const (
	reached     verdict = "yes"
	missed      verdict = "NO"
	notMeasured verdict = "not measured"
)

const (
	ourSSE = "dualpush-sse"
	ourWS  = "dualpush-ws"
)

var figures = []figure{
	cpuOver("SSE, bursts of 100: server CPU per delivery", "broadcast", ourSSE, floors[0], 1.6),
	cpuOver("SSE, one event at a time: server CPU per delivery", "single", ourSSE, floors[0], 1.15),
	atMost("an idle SSE connection, KB", "idle", ourSSE, "kb_per_conn", 30),
	atMost("an idle WebSocket, KB", "idle", ourWS, "kb_per_conn", 33),
	complete("19,000 SSE connections in one process", "conns19k", ourSSE),
	complete("19,000 WebSockets in one process", "conns19k", ourWS),
	unslowed("a reader stops, SSE: speed of the others", ourSSE, 0.9),
	unslowed("a reader stops, WebSocket: speed of the others", ourWS, 0.9),
	complete("1000 SSE clients come back, 100 events behind", "reconnect", ourSSE),
	complete("1000 WebSockets come back, 100 events behind", "reconnect", ourWS),
	atMost("encode once: allocations for each further reader", "micro", "next-reader", "allocs_per_op", 0),
	atMost("publish with history, no reader: allocations", "micro", "publish", "allocs_per_op", 3),
}

// cpuOver wants a server's CPU per delivery to be at most limit times a floor's.
func cpuOver(what, test, name, floor string, limit float64) figure {
	return figure{what, fmt.Sprintf("≤ %g × %s", limit, floor), func(set *results.Set) (string, verdict) {
		if text, v := whole(set, test, name); v != reached {
			return text, v
		}
		r, ok := set.Ratio("cpu_us_per_deliv", test, name, test, floor)
		if !ok {
			return "", notMeasured
		}
		return strconv.FormatFloat(r, 'f', 2, 64) + " ×", judge(r <= limit)
	}}
}

// unslowed wants readers to be as fast beside one that stopped as without it.
func unslowed(what, name string, limit float64) figure {
	return figure{what, fmt.Sprintf("≥ %g × unstalled", limit), func(set *results.Set) (string, verdict) {
		for _, test := range []string{"stall", "unstalled"} {
			if text, v := whole(set, test, name); v != reached {
				return text, v
			}
		}
		r, ok := set.Ratio("deliv_per_s", "stall", name, "unstalled", name)
		if !ok {
			return "", notMeasured
		}
		return strconv.FormatFloat(r, 'f', 2, 64) + " ×", judge(r >= limit)
	}}
}

// atMost wants a field's median to be at most limit.
func atMost(what, test, name, field string, limit float64) figure {
	return figure{what, fmt.Sprintf("≤ %g", limit), func(set *results.Set) (string, verdict) {
		if len(set.Runs(test, name)) == 0 || set.Failed(test, name) {
			return "", notMeasured
		}
		v := set.Median(test, name, field)
		return strconv.FormatFloat(v, 'f', -1, 64), judge(v <= limit)
	}}
}

// complete wants every connection to stand in every round, and nothing lost or
// doubled.
func complete(what, test, name string) figure {
	return figure{what, "0 lost, 0 doubled", func(set *results.Set) (string, verdict) {
		return whole(set, test, name)
	}}
}

// whole reports whether all rounds of a test delivered everything once.
func whole(set *results.Set, test, name string) (string, verdict) {
	runs := set.Runs(test, name)
	if len(runs) == 0 || set.Failed(test, name) {
		return "", notMeasured
	}
	var lost, doubled, gone float64
	for _, r := range runs {
		if r.Number("received") == 0 {
			return "nothing arrived", missed
		}
		lost += r.Number("lost") + r.Number("live_lost")
		doubled += r.Number("dup")
		gone += r.Number("failed") + r.Number("died")
		stood := "established"
		if test == "reconnect" { // who comes back without an id has missed nothing
			stood = "resume_ids"
		}
		gone += max(0, r.Number("subs")-r.Number("failed")-r.Number(stood))
	}
	text := fmt.Sprintf("%g lost, %g doubled", lost, doubled)
	if gone > 0 {
		text += fmt.Sprintf(", %g connections failed", gone)
	}
	return text, judge(lost == 0 && doubled == 0 && gone == 0)
}

func judge(ok bool) verdict {
	if ok {
		return reached
	}
	return missed
}

func writeFigures(w io.Writer, set *results.Set, figures []figure) {
	fmt.Fprintf(w, "\n### figures\n\n")
	rows := make([][]string, 0, 1+len(figures))
	rows = append(rows, []string{"", "wanted", "measured", "reached"})
	for _, f := range figures {
		measured, v := f.check(set)
		rows = append(rows, []string{f.what, f.want, measured, string(v)})
	}
	writeRows(w, rows)
}
