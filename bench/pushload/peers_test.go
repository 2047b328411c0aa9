package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const peersJSON = "../peers.json"

// A typing error in the peers file would show only after an hour of running.
func TestPeersFileNamesWhatThereIs(t *testing.T) {
	f, err := readPeers(peersJSON)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range f.Peers {
		for _, test := range p.Skip {
			if f.Tests[test] == nil {
				t.Errorf("%s skips %q, which is no test", name, test)
			}
		}
		for test := range p.More {
			if f.Tests[test] == nil {
				t.Errorf("%s has arguments for %q, which is no test", name, test)
			}
		}
		for test := range f.Tests {
			checkArgs(t, name, test, f.args(test, name))
		}
	}
}

func checkArgs(t *testing.T, name, test string, args []string) {
	if args == nil {
		return
	}
	cfg, err := parse(args)
	if err != nil {
		t.Errorf("%s %s: %v", name, test, err)
		return
	}
	if cfg.start == "" || cfg.burst == "" && cfg.pubURL == "" {
		t.Errorf("%s %s: no way to start the server or to publish", name, test)
	}
	program := strings.Fields(cfg.start)[0]
	if source, ok := strings.CutPrefix(program, "bin/"); ok {
		dirs, _ := filepath.Glob("../" + source)
		peers, _ := filepath.Glob("../peers/" + source)
		if len(dirs)+len(peers) != 1 {
			t.Errorf("%s %s: no source for %s", name, test, program)
		}
	}
}

// The Makefile's lists must name peers and tests that there are.
func TestMakefileNamesWhatThereIs(t *testing.T) {
	f, err := readPeers(peersJSON)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(text)) {
		for field := range strings.FieldsSeq(line) {
			for word := range strings.SplitSeq(field, ",") {
				word = strings.Trim(word, "'")
				if strings.HasPrefix(word, "dualpush-") || strings.HasPrefix(word, "floor-") || strings.HasSuffix(word, "-hub") {
					seen++
					if _, ok := f.Peers[word]; !ok && !strings.Contains(word, "=") {
						t.Errorf("%q is no peer", word)
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d peers found in the Makefile", seen)
	}
}

func TestSkippedTestsAreNotRun(t *testing.T) {
	f := &peersFile{
		Tests: map[string][]string{"a": {"-n", "1"}, "b": {"-n", "2"}},
		Peers: map[string]peer{"p": {Args: []string{"-mode", "ws"}, Skip: []string{"b"}, More: map[string][]string{"a": {"-n", "3"}}}},
	}
	if got, want := f.args("a", "p"), strings.Fields("-name p -key a -mode ws -n 1 -n 3"); !slices.Equal(got, want) {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if got := f.args("b", "p"); got != nil {
		t.Errorf("a skipped test has arguments %q", got)
	}
	jobs, err := f.jobs([]string{"a,b", "p", "a", "all"}, []string{"-dur", "1s"})
	if err != nil || len(jobs) != 2 || jobs[0].test != "a" || jobs[1].name != "p" || !slices.Contains(jobs[1].args, "1s") {
		t.Errorf("jobs %+v, %v; want two of test a", jobs, err)
	}
	for _, bad := range [][]string{{"c", "p"}, {"a", "q"}, {"a"}, nil} {
		if _, err := f.jobs(bad, nil); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
