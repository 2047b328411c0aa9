package main

import (
	"fmt"
	"strconv"
	"strings"

	"pushbench/internal/results"
)

func of(test, name, field string) results.Of { return results.Of{Test: test, Name: name, Field: field} }

// value is a number that is false unless all of it was measured in every round.
type value func(*results.Set) (float64, bool)

// over is a / b. That b lost events is told by the warnings: it makes its
// numbers better, not ours.
func over(a, b results.Of) value {
	return func(set *results.Set) (float64, bool) { return set.Ratio(a, b) }
}

// compare wants a ratio to be good, and a server to have delivered everything
// in the tests that it is of. Without good it tells the ratio.
func compare(what, want, name string, tests []string, ratio value, good func(float64) bool) figure {
	return figure{what: what, want: want, check: func(set *results.Set) (string, verdict) {
		for _, test := range tests {
			if text, v := whole(set, test, name); v != reached {
				return text, v
			}
		}
		r, ok := ratio(set)
		switch {
		case !ok:
			return "", notMeasured
		case good == nil:
			return times(r), told
		}
		return times(r), judge(good(r))
	}}
}

func upTo(limit float64) func(float64) bool { return func(v float64) bool { return v <= limit } }
func from(limit float64) func(float64) bool { return func(v float64) bool { return v >= limit } }

const (
	cpu   = "cpu_us_per_deliv"
	speed = "deliv_per_s"
	p99   = "p99_ms"
)

var named = map[string]string{cpu: "CPU a delivery", speed: "deliveries/s", p99: "p99"}

// against compares a field with another server's in the same test.
func against(test, name, other, field, want string, good func(float64) bool) figure {
	f := compare(test+", "+way[name]+": "+named[field], want, name, []string{test},
		over(of(test, name, field), of(test, other, field)), good)
	f.floor = ownSpread(test, other, field)
	return f
}

// costs wants a server's CPU per delivery to be at most limit times a floor's.
func costs(test, name, floor string, limit float64) figure {
	return against(test, name, floor, cpu, fmt.Sprintf("≤ %g × %s", limit, floor), upTo(limit))
}

// late wants a server's p99 to be at most limit times floor-hijackqueue's.
func late(test, name string, limit float64) figure {
	return against(test, name, hijack, p99, fmt.Sprintf("≤ %g × %s", limit, hijack), upTo(limit))
}

// faster wants at least limit times a peer's deliveries/s. It tells what that
// is by server CPU, too: a loader that is the limit hides a part.
func faster(test, name, peer string, limit float64) figure {
	f := against(test, name, peer, speed, fmt.Sprintf("≥ %g × %s", limit, peer), from(limit))
	judged := f.check
	f.check = func(set *results.Set) (string, verdict) {
		text, v := judged(set)
		if r, ok := set.Ratio(of(test, peer, cpu), of(test, name, cpu)); ok && (v == reached || v == missed) {
			text += fmt.Sprintf(" (by CPU %.2f ×)", r)
		}
		return text, v
	}
	return f
}

// beside tells a server's CPU per delivery over a peer's.
func beside(test, name, peer string) figure {
	return against(test, name, peer, cpu, "of "+peer, nil)
}

// fasterThrough is faster for a peer that is not here, whose deliveries/s were
// share of a floor's.
func fasterThrough(test, name, floor, peer string, share, limit float64) figure {
	ratio := over(of(test, name, speed), of(test, floor, speed))
	f := compare(test+", "+way[name]+": "+named[speed], fmt.Sprintf("≥ %g × %s, through the floor", limit, peer), name, []string{test},
		func(set *results.Set) (float64, bool) {
			r, ok := ratio(set)
			return r / share, ok
		}, from(limit))
	f.floor = ownSpread(test, floor, speed)
	return f
}

// grows wants the cost of a delivery to grow from 1,000 connections to 19,000
// at most 1.15 times as much as a floor's does.
func grows(name, floor string) figure {
	const limit = 1.15
	growth := func(name string) value {
		return over(of("conns19k", name, cpu), of("conns1k", name, cpu))
	}
	f := compare("19,000 against 1,000, "+way[name]+": growth of "+named[cpu], fmt.Sprintf("≤ %g × that of %s", limit, floor),
		name, []string{"conns19k", "conns1k"}, func(set *results.Set) (float64, bool) {
			ours, ok := growth(name)(set)
			its, both := growth(floor)(set)
			return ours / its, ok && both
		}, upTo(limit))
	f.floor = ownSpread("conns19k", floor, cpu)
	return f
}

// atMost wants a field's median to be at most limit.
func atMost(what, test, name, field string, limit float64) figure {
	return figure{what: what, want: fmt.Sprintf("≤ %g", limit), check: func(set *results.Set) (string, verdict) {
		if len(set.Runs(test, name)) == 0 || set.Failed(test, name) {
			return "", notMeasured
		}
		v := set.Median(test, name, field)
		return plain(v), judge(v <= limit)
	}}
}

// measured tells a field's median.
func measured(what, test, name, field string) figure {
	return figure{what: what, check: func(set *results.Set) (string, verdict) {
		v := set.Median(test, name, field)
		if v == 0 || set.Failed(test, name) {
			return "", notMeasured
		}
		return plain(v), told
	}}
}

// complete wants every connection to stand in every round, and nothing lost or
// doubled.
func complete(test, name string) figure {
	return figure{what: test + ", " + way[name], want: "0 lost, 0 doubled, all stay", check: func(set *results.Set) (string, verdict) {
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

func ownSpread(test, name, field string) func(*results.Set) string {
	return func(set *results.Set) string { return spread(field)(set, test, name) }
}

func times(r float64) string { return strconv.FormatFloat(r, 'f', 2, 64) + " ×" }

func plain(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".")
}
