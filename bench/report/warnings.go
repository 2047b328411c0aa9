package main

import (
	"fmt"
	"io"

	"pushbench/internal/results"
)

// writeWarnings says which numbers are not worth much.
func writeWarnings(w io.Writer, set *results.Set) {
	fmt.Fprintln(w)
	for _, test := range set.Tests() {
		for _, name := range set.Names(test) {
			for _, text := range warnings(set, test, name) {
				fmt.Fprintf(w, "! %s, %s: %s\n", test, name, text)
			}
		}
	}
	if n, all, worst := disturbed(set); n > 0 {
		fmt.Fprintf(w, "! Other processes used the server's CPU in %d of %d runs, up to %.1f times as much as the server:\n"+
			"! numbers of a machine that is not quiet are preliminary.\n", n, all, worst)
	}
}

// busyLoader is the share of its CPU above which the load generator may be the
// limit.
const busyLoader = 0.95

func warnings(set *results.Set, test, name string) (texts []string) {
	for _, r := range set.Runs(test, name) {
		for _, field := range []string{"error", "stop", "why"} {
			if text := r.Text(field); text != "" {
				texts = append(texts, text)
			}
		}
	}
	if set.Median(test, name, "loader_cpu_share") > busyLoader {
		texts = append(texts, "the loader was the limit: compare CPU, not deliveries/s")
	}
	return texts
}

// quiet is how much busier than the server its whole CPU may be: interrupts
// and the like.
const quiet = 1.1

// disturbed counts the runs in which the server did not have its CPU for
// itself, and says how much the others took at most, in times of the server.
func disturbed(set *results.Set) (n, all int, worst float64) {
	for _, test := range set.Tests() {
		for _, name := range set.Names(test) {
			for _, r := range set.Runs(test, name) {
				server, core := r.Number("cpu_us_per_deliv"), r.Number("core_us_per_deliv")
				if server <= 0 || core <= 0 || r.Number("srv_cpu_share") < 0.1 { // too little to tell
					continue
				}
				all++
				if core/server > quiet {
					n++
					worst = max(worst, core/server-1)
				}
			}
		}
	}
	return n, all, worst
}
