package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// peersFile says which tests there are and how each server is started and
// subscribed to.
type peersFile struct {
	Tests map[string][]string `json:"tests"` // test -> arguments of pushload
	Peers map[string]peer     `json:"peers"`
}

type peer struct {
	Args []string            `json:"args"`
	Skip []string            `json:"skip"` // tests that it has no way to run
	More map[string][]string `json:"more"` // test -> further arguments
}

// args returns the arguments for one run, nil if the peer skips the test.
func (f *peersFile) args(test, name string) []string {
	p := f.Peers[name]
	if slices.Contains(p.Skip, test) {
		return nil
	}
	return slices.Concat([]string{"-name", name, "-key", test}, p.Args, f.Tests[test], p.More[test])
}

func readPeers(name string) (*peersFile, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := new(peersFile)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// choose returns the tests and peers of two comma-separated lists; "all" is
// every peer.
func (f *peersFile) choose(tests, peers string) (ts, ps []string, err error) {
	ts, ps = strings.Split(tests, ","), strings.Split(peers, ",")
	if peers == "all" {
		ps = slices.Sorted(maps.Keys(f.Peers))
	}
	for _, t := range ts {
		if _, ok := f.Tests[t]; !ok {
			return nil, nil, fmt.Errorf("no test %q; there are %s", t, strings.Join(slices.Sorted(maps.Keys(f.Tests)), ", "))
		}
	}
	for _, p := range ps {
		if _, ok := f.Peers[p]; !ok {
			return nil, nil, fmt.Errorf("no peer %q; there are %s", p, strings.Join(slices.Sorted(maps.Keys(f.Peers)), ", "))
		}
	}
	return ts, ps, nil
}

var errRun = errors.New("usage: pushload run [-reps N] [-dur D] [-o FILE] PEERS.json TEST,TEST PEER,PEER|all [TESTS PEERS …]")

// job is one run of pushload.
type job struct {
	test, name string
	args       []string
}

// jobs returns the runs of one round for pairs of lists, tests and peers: the
// peers take turns in each test. more is added to the arguments of each.
func (f *peersFile) jobs(lists, more []string) (jobs []job, err error) {
	if len(lists) == 0 || len(lists)%2 != 0 {
		return nil, errRun
	}
	for pair := range slices.Chunk(lists, 2) {
		tests, peers, err := f.choose(pair[0], pair[1])
		if err != nil {
			return nil, err
		}
		for _, test := range tests {
			for _, name := range peers {
				if args := f.args(test, name); args != nil {
					jobs = append(jobs, job{test, name, slices.Concat(args, more)})
				}
			}
		}
	}
	return jobs, nil
}

// runPeers runs tests of peers, round by round.
func runPeers(args []string) error {
	fs := flag.NewFlagSet("run", flag.ExitOnError)
	reps := fs.Int("reps", 3, "repetitions; the peers take turns")
	out := fs.String("o", "", "file to append the JSON lines to, instead of printing them")
	dur := fs.String("dur", "", "length of the measured phase instead of each test's own, to try things out")
	_ = fs.Parse(args) // exits on an error
	if fs.NArg() == 0 {
		return errRun
	}
	file, err := readPeers(fs.Arg(0))
	if err != nil {
		return err
	}
	var more []string
	if *dur != "" {
		more = []string{"-dur", *dur}
	}
	jobs, err := file.jobs(fs.Args()[1:], more)
	if err != nil {
		return err
	}
	var w, progress io.Writer = os.Stdout, io.Discard
	if *out != "" {
		f, err := os.OpenFile(*out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // each line was written at once
		w, progress = f, os.Stderr
	}
	return runJobs(w, progress, filepath.Dir(fs.Arg(0)), jobs, *reps)
}

func runJobs(w, progress io.Writer, dir string, jobs []job, reps int) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for round := range reps {
		for i, j := range jobs {
			fmt.Fprintf(progress, "round %d of %d, %d of %d: %s %s\n", round+1, reps, i+1, len(jobs), j.test, j.name)
			if err := runOne(w, dir, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// runOne runs pushload as a process of its own. A run that fails leaves a line
// that says so, and does not end the others.
func runOne(w io.Writer, dir string, j job) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, j.args...)
	cmd.Dir = dir
	var errText strings.Builder
	cmd.Stderr = &errText
	line, err := cmd.Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v: %s\n", j.name, j.test, err, errText.String())
		line, _ = json.Marshal(map[string]any{"key": j.test, "name": j.name, "error": strings.TrimSpace(errText.String())})
		line = append(line, '\n')
	}
	_, err = w.Write(line)
	return err
}
