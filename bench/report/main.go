// Command report prints the results of pushload run as tables, with the ratios
// to the floors of the same run, and says which of the project's figures were
// reached.
//
//	report results.jsonl
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"pushbench/internal/results"
)

func main() {
	if err := command(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func command(args []string, w io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: report FILE.jsonl")
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
	fmt.Fprintln(w, machine())
	report(w, set)
	return nil
}

func report(w io.Writer, set *results.Set) {
	for _, test := range set.Tests() {
		writeTable(w, set, test)
	}
	writeFigures(w, set, figures)
	writeWarnings(w, set)
}

// machine says what the numbers are of.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	model := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
			break
		}
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s", model, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version())
}
