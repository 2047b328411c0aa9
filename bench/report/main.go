// Command report prints the results of pushload run as tables, with the ratios
// to the floors of the same run, and says which of the project's figures were
// reached.
//
//	report [-svg bench.svg] [-growth growth.svg] results.jsonl
package main

import (
	"bytes"
	"errors"
	"flag"
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
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	svg := flags.String("svg", "", "file to draw deliveries/s per core into")
	growth := flags.String("growth", "", "file to draw growth into")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: report [-svg FILE.svg] [-growth FILE.svg] FILE.jsonl")
	}
	f, err := os.Open(flags.Arg(0))
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
	return errors.Join(draw(*svg, set, drawDeliveries), draw(*growth, set, drawGrowth))
}

// draw writes a drawing into a file, if there is to be one and something was
// measured for it.
func draw(name string, set *results.Set, drawing func(io.Writer, *results.Set) error) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	err := drawing(&b, set)
	switch {
	case errors.Is(err, errNothing):
		return nil
	case err != nil:
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

var errNothing = errors.New("nothing was measured that could be drawn")

func report(w io.Writer, set *results.Set) {
	for _, test := range set.Tests() {
		if !inFamily(test) {
			writeTable(w, set, test)
		}
	}
	writeGrowth(w, set)
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
