// Command pushload loads a push server (SSE, WebSocket or long polling) with
// many subscribers and says in one JSON line what arrived, how late, and what
// it cost the server. See ../README.md.
//
//	pushload -url … -test broadcast …         one test of one server
//	pushload run [-reps 3] peers.json TESTS PEERS [TESTS PEERS …]
//	pushload summary results.jsonl [FIELDS] [TESTS]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pushload:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "run":
			return runPeers(args[1:])
		case "summary":
			return summary(os.Stdout, args[1:])
		}
	}
	cfg, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	return load(cfg)
}

func parse(args []string) (*config, error) {
	cfg := new(config)
	flags := flag.NewFlagSet("pushload", flag.ContinueOnError)
	cfg.register(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	return cfg, cfg.resolve()
}

// load runs one test and prints its result.
func load(cfg *config) error {
	srv := &server{pid: cfg.pid}
	if cfg.start != "" {
		var err error
		if srv, err = startServer(cfg); err != nil {
			return err
		}
		defer srv.stop()
		srv.stopOnSignal()
	}
	ownCPU(cfg.cpu)
	b, err := newBench(cfg, srv.pid)
	if err != nil {
		return err
	}
	defer b.shut()
	if err := b.run(); err != nil {
		return err
	}
	return b.r.print(os.Stdout)
}
