package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"pushbench/internal/results"
)

// floors are what the ratios are to, as far as they were measured.
var floors = []string{nethttp, hijack, coder}

// A cell is one field of one server in one test; "" if it says nothing.
type cell func(set *results.Set, test, name string) string

type column struct {
	head string
	cell cell
}

// table is how a test's results are shown, by one field ascending.
type table struct {
	title   string
	by      string
	columns []column
}

var deliveries = []column{
	{"deliveries/s", median(speed, short)},
	{"CPU µs each", median(cpu, digits3)},
	{"spread", spread(cpu)},
	{"× nethttplog", overFloor(floors[0])},
	{"× hijackqueue", overFloor(floors[1])},
	{"× coderlog", overFloor(floors[2])},
	{"p50 ms", median("p50_ms", digits3)},
	{"p99 ms", median("p99_ms", digits3)},
	{"loader", median("loader_cpu_share", percent)},
	{"lost", most("lost")},
	{"dup", most("dup")},
}

var stalled = []column{
	{"deliveries/s", median(speed, short)},
	{"of unstalled", ofUnstalled},
	{"CPU µs each", median(cpu, digits3)},
	{"longest gap ms", median("max_gap_ms", digits3)},
	{"closed", most("stalled_closed")},
	{"memory MB", median("rss_load_kb", megabytes)},
	{"lost", most("lost")},
}

var idle = []column{
	{"KB each", median("kb_per_conn", digits3)},
	{"after gc", median("kb_per_conn_gc", digits3)},
	{"connected", least("established")},
	{"per s", median("conn_per_s", short)},
	{"CPU µs each", median("conn_cpu_us", digits3)},
}

var resumed = []column{
	{"back s", median("reconnect_s", digits3)},
	{"caught up s", median("caught_up_s", digits3)},
	{"CPU µs an event", median(cpu, digits3)},
	{"with id", least("resume_ids")},
	{"lost", most("lost")},
	{"dup", most("dup")},
	{"live lost", most("live_lost")},
}

var micro = []column{
	{"ns", median("ns_per_op", digits3)},
	{"allocations", median("allocs_per_op", digits3)},
	{"bytes", median("bytes_per_op", digits3)},
}

var tables = map[string]table{
	"broadcast": {"1000 subscribers of one topic, bursts of 100 events", cpu, deliveries},
	"single":    {"1000 subscribers of one topic, one event at a time", cpu, deliveries},
	"rate":      {"1000 subscribers of one topic, 20 events/s", cpu, deliveries},
	"overload":  {"1000 subscribers of one topic, 400 events/s", p99, deliveries},
	"topics":    {"1000 topics with one subscriber each", cpu, deliveries},
	"conns100":  {"100 subscribers of one topic, bursts of 100 events", cpu, deliveries},
	"conns1k":   {"1000 subscribers of one topic, bursts of 100 events", cpu, deliveries},
	"conns5k":   {"5000 subscribers of one topic, bursts of 100 events", cpu, deliveries},
	"conns10k":  {"10,000 subscribers of one topic, bursts of 100 events", cpu, deliveries},
	"conns19k":  {"19,000 subscribers of one topic, bursts of 100 events", cpu, deliveries},
	"stall":     {"100 subscribers, one of which stops reading", cpu, stalled},
	"unstalled": {"the other 99 without it", cpu, stalled},
	"idle":      {"10,000 connections, nothing is sent", "kb_per_conn", idle},
	"connect":   {"2000 connections", "conn_cpu_us", idle},
	"reconnect": {"1000 subscribers come back, 100 events behind each", "caught_up_s", resumed},
	"micro":     {"in process, without a transport", "ns_per_op", micro},
}

func tableOf(test string) table {
	if t, ok := tables[test]; ok {
		return t
	}
	return table{"", cpu, deliveries}
}

// writeTable writes a test's medians as a Markdown table that is readable as
// it is.
func writeTable(w io.Writer, set *results.Set, test string) {
	t := tableOf(test)
	fmt.Fprintf(w, "\n### %s: %s\n\n", test, t.title)
	head := []string{"", "rounds"}
	for _, c := range t.columns {
		head = append(head, c.head)
	}
	rows := [][]string{head}
	for _, name := range sorted(set, test, t.by) {
		rows = append(rows, t.row(set, test, name))
	}
	writeRows(w, rows)
}

func (t *table) row(set *results.Set, test, name string) []string {
	row := make([]string, 0, 2+len(t.columns))
	row = append(row, name, strconv.Itoa(len(set.Runs(test, name))))
	for _, c := range t.columns {
		row = append(row, c.cell(set, test, name))
	}
	return row
}

// sorted returns the servers of a test by a field's median; those without it
// come last.
func sorted(set *results.Set, test, by string) []string {
	return slices.SortedFunc(slices.Values(set.Names(test)), func(a, b string) int {
		x, y := set.Median(test, a, by), set.Median(test, b, by)
		if (x > 0) != (y > 0) {
			return cmp.Compare(y, x)
		}
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	})
}

// writeRows writes a Markdown table; the first row is its head, the first
// column is set to the left. Columns without a value are left out.
func writeRows(w io.Writer, rows [][]string) {
	for i := range rows[0] {
		width := 0
		for r, row := range rows {
			if r > 0 {
				width = max(width, utf8.RuneCountInString(row[i]))
			}
		}
		if width > 0 {
			width = max(width, utf8.RuneCountInString(rows[0][i]))
		}
		for r := range rows {
			rows[r][i] = pad(rows[r][i], width, i > 0)
		}
	}
	for r, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(visible(row, rows[0]), " | "))
		if r == 0 {
			writeRule(w, row)
		}
	}
}

func writeRule(w io.Writer, head []string) {
	var rule []string
	for i, h := range visible(head, head) {
		n := utf8.RuneCountInString(h)
		if i == 0 {
			rule = append(rule, strings.Repeat("-", n))
		} else {
			rule = append(rule, strings.Repeat("-", n-1)+":")
		}
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(rule, " | "))
}

func visible(row, head []string) []string {
	var v []string
	for i, s := range row {
		if head[i] != "" {
			v = append(v, s)
		}
	}
	return v
}

// pad fills s to a width in characters; to 0 it empties it.
func pad(s string, width int, right bool) string {
	if width == 0 {
		return ""
	}
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return fill + s
	}
	return s + fill
}

func median(field string, format func(float64) string) cell {
	return func(set *results.Set, test, name string) string { return format(set.Median(test, name, field)) }
}

func most(field string) cell {
	return func(set *results.Set, test, name string) string {
		return strconv.FormatFloat(set.Most(test, name, field), 'f', -1, 64)
	}
}

func least(field string) cell {
	return func(set *results.Set, test, name string) string {
		return strconv.FormatFloat(set.Least(test, name, field), 'f', -1, 64)
	}
}

func spread(field string) cell {
	return func(set *results.Set, test, name string) string {
		if len(set.Runs(test, name)) < 2 {
			return ""
		}
		return percent(set.Spread(test, name, field))
	}
}

func overFloor(floor string) cell {
	return func(set *results.Set, test, name string) string {
		r, ok := set.Ratio(of(test, name, cpu), of(test, floor, cpu))
		if !ok {
			return ""
		}
		return strconv.FormatFloat(r, 'f', 2, 64)
	}
}

func ofUnstalled(set *results.Set, test, name string) string {
	r, ok := set.Ratio(of(test, name, speed), of("unstalled", name, speed))
	if !ok || test != "stall" || set.Most(test, name, "lost") > 0 {
		return ""
	}
	return strconv.FormatFloat(r, 'f', 2, 64)
}

// digits3 keeps three significant digits; 0 was not measured.
func digits3(v float64) string {
	switch {
	case v == 0:
		return ""
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func percent(v float64) string { return strconv.FormatFloat(v*100, 'f', 0, 64) + " %" }

func megabytes(kb float64) string { return digits3(kb / 1024) }

func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + " M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + " k"
	}
	return digits3(v)
}
