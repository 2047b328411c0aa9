package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// multi is a flag that can be repeated.
type multi []string

func (m *multi) String() string     { return strings.Join(*m, " ") }
func (m *multi) Set(s string) error { *m = append(*m, s); return nil }

type config struct {
	name, key, test, mode string

	// how to subscribe
	url, addr, path             string // addr and path are parts of url
	tls, h2                     bool   // tls: url is https
	headers, hello, helloResume multi
	pollCursor                  multi
	ready                       string
	ping                        string // PING=PONG, as given
	replyTo, reply              string // its halves
	noHead                      bool
	resumeHeader, idRe, epochRe string
	n, conc, topics, size       int
	settle                      time.Duration

	// how to publish
	burst, gc                  string
	pubMethod, pubURL, pubBody string
	pubHeaders                 multi
	pubConns                   int

	// the test
	dur, drain, idle time.Duration
	batch            int
	rate             float64
	stall            int
	missed           int
	away             time.Duration

	// the server
	start, srvLog string
	env           multi
	pid           int
	cpu, srvCPU   int
}

func (cfg *config) register(f *flag.FlagSet) {
	f.StringVar(&cfg.name, "name", "", "name in the result")
	f.StringVar(&cfg.key, "key", "", "the test's name in the peers file, in the result")
	f.StringVar(&cfg.test, "test", "broadcast", "broadcast | rate | topics | stall | idle | reconnect")
	f.StringVar(&cfg.mode, "mode", "sse", "sse | ws | poll")
	cfg.registerSubscribe(f)
	cfg.registerPublish(f)
	f.DurationVar(&cfg.dur, "dur", 5*time.Second, "length of the measured phase")
	f.DurationVar(&cfg.drain, "drain", 2*time.Second, "give up when nothing arrived for so long")
	f.DurationVar(&cfg.idle, "idle", 3*time.Second, "wait before idle memory is read")
	f.IntVar(&cfg.batch, "batch", 100, "events per burst (per topic)")
	f.Float64Var(&cfg.rate, "rate", 20, "events/s (test rate, per topic)")
	f.IntVar(&cfg.stall, "stall", 0, "the last so many connections never read")
	f.IntVar(&cfg.missed, "missed", 100, "events published while away (test reconnect)")
	f.DurationVar(&cfg.away, "away", time.Second, "wait before they are published (test reconnect)")
	f.StringVar(&cfg.start, "start", "", "command that starts the server; it is stopped at the end")
	f.StringVar(&cfg.srvLog, "server-log", "", "file for the output of -start (default: none)")
	f.Var(&cfg.env, "env", "K=V for -start, repeatable")
	f.IntVar(&cfg.pid, "pid", 0, "pid of a server started before")
	f.IntVar(&cfg.cpu, "cpu", 1, "CPU of pushload, -1 for any")
	f.IntVar(&cfg.srvCPU, "server-cpu", 0, "CPU of the server, -1 for any")
}

func (cfg *config) registerSubscribe(f *flag.FlagSet) {
	f.StringVar(&cfg.url, "url", "", "subscribe URL; {i} connection number, {topic} topic number, {last} last event id")
	f.BoolVar(&cfg.h2, "h2", false, "subscribe over HTTP/2, each on a connection of its own (an https URL; mode sse)")
	f.Var(&cfg.headers, "header", "subscribe header, repeatable")
	f.Var(&cfg.hello, "hello", "WebSocket text frame to send after the handshake, repeatable")
	f.Var(&cfg.helloResume, "hello-resume", "the same when reconnecting with {last} and {epoch}")
	f.StringVar(&cfg.ready, "ready", "", "text in the stream that says that the subscription stands")
	f.StringVar(&cfg.ping, "reply", "", "PING=PONG: text frame to answer and its answer")
	f.BoolVar(&cfg.noHead, "nohead", false, "the server sends the response head only with the first event")
	f.StringVar(&cfg.resumeHeader, "resume-header", "Last-Event-ID: {last}", "header sent on reconnect")
	f.StringVar(&cfg.idRe, "id-re", `(?m)^id: ?(\S+)`, "regexp, group 1 is the event id in the stream (mode poll: the cursor near a page's end)")
	f.StringVar(&cfg.epochRe, "epoch-re", "", "regexp, group 1 of the text up to -ready is {epoch}")
	f.Var(&cfg.pollCursor, "poll-cursor", "RESPONSE-HEADER=REQUEST-HEADER, repeatable (mode poll)")
	f.IntVar(&cfg.n, "n", 1000, "subscribers")
	f.IntVar(&cfg.conc, "conc", 128, "connections being set up at once")
	f.IntVar(&cfg.topics, "topics", 0, "topics (test topics: default one per subscriber)")
	f.IntVar(&cfg.size, "size", 128, "payload bytes")
	f.DurationVar(&cfg.settle, "settle", 500*time.Millisecond, "wait between connecting and publishing")
}

func (cfg *config) registerPublish(f *flag.FlagSet) {
	f.StringVar(&cfg.burst, "burst", "", "URL that makes the server publish: {n} {size} {rate} {topics} {first}")
	f.StringVar(&cfg.gc, "gc", "", "URL that makes the server free memory (test idle)")
	f.StringVar(&cfg.pubURL, "pub", "", "or: URL to publish one event to; {topic}")
	f.StringVar(&cfg.pubMethod, "pub-method", "POST", "")
	f.StringVar(&cfg.pubBody, "pub-body", "{payload}", "{payload}, {payload:url}, {payload:json} (a JSON string), {topic}")
	f.Var(&cfg.pubHeaders, "pub-header", "repeatable")
	f.IntVar(&cfg.pubConns, "pub-conns", 4, "publishing connections")
}

// resolve checks the flags and fills in what follows from them.
func (cfg *config) resolve() error {
	u, err := url.Parse(cfg.url)
	if err != nil || u.Host == "" {
		return fmt.Errorf("-url: bad URL %q", cfg.url)
	}
	cfg.addr, cfg.path, cfg.tls = u.Host, pathOf(cfg.url), u.Scheme == "https"
	switch {
	case cfg.h2 && (!cfg.tls || cfg.mode != "sse"):
		return errors.New("-h2 needs an https URL and -mode sse")
	case cfg.tls && (cfg.test == "stall" || cfg.stall > 0):
		return errors.New("a connection that stops reading must be a plain one: what carries TLS would read on")
	}
	cfg.replyTo, cfg.reply, _ = strings.Cut(cfg.ping, "=")
	if cfg.test == "topics" && cfg.topics == 0 {
		cfg.topics = cfg.n
	}
	if cfg.test == "stall" && cfg.stall == 0 {
		cfg.stall = 1
	}
	return nil
}

// pathOf returns what comes after the host, with templates as they are.
func pathOf(u string) string {
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return "/"
	}
	return rest[i:]
}

// bodyCursor reports whether a poll takes its cursor from the page before.
func (cfg *config) bodyCursor() bool {
	return cfg.mode == "poll" && strings.Contains(cfg.path, "{last}")
}
