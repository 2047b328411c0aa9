package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"pushbench/internal/results"
)

const summaryFields = "established,conn_per_s,kb_per_conn,deliv_per_s,cpu_us_per_deliv,srv_cpu_share,loader_cpu_share," +
	"p50_ms,p99_ms,p999_ms,lost,dup,out_of_order,died,rss_load_kb"

// summary prints medians: pushload summary FILE [FIELD,FIELD] [TEST,TEST].
func summary(w io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: pushload summary FILE.jsonl [FIELDS] [TESTS]")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	set, err := results.Read(f)
	if err != nil {
		return err
	}
	fields := strings.Split(summaryFields, ",")
	if len(args) > 1 && args[1] != "" {
		fields = strings.Split(args[1], ",")
	}
	tests := slices.Sorted(slices.Values(set.Tests()))
	if len(args) > 2 {
		tests = strings.Split(args[2], ",")
	}
	for _, t := range tests {
		fmt.Fprintf(w, "\n### %s\n\n| name | runs | %s |\n|%s\n", t, strings.Join(fields, " | "), strings.Repeat(" --- |", len(fields)+2))
		for _, name := range slices.Sorted(slices.Values(set.Names(t))) {
			fmt.Fprintf(w, "| %s | %d |", name, len(set.Runs(t, name)))
			for _, field := range fields {
				fmt.Fprintf(w, " %.6g |", set.Median(t, name, field))
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}
