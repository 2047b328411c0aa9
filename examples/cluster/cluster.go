package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/examples/wall/wall"
)

// asProgram makes the binary of the tests be the program.
const asProgram = "CLUSTER_AS_PROGRAM"

// patience is how long something may take that should be there at once.
const patience = 30 * time.Second

//go:embed web
var files embed.FS

// options of a cluster.
type options struct {
	nodes int
	drain time.Duration // of a node
	every time.Duration // between two ticks
}

// runCluster runs a broker, nodes, a balancer before them and the page, until
// ctx ends.
func runCluster(ctx context.Context, addr string, opts options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "cluster")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	broker, err := startBroker(dir)
	if err != nil {
		return err
	}
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	nodes := make([]*child, opts.nodes)
	for i := range nodes {
		nodes[i] = newChild(string(rune('a'+i)), "-nats", broker.ClientURL(), "-drain", opts.drain.String())
	}
	defer stopAll(nodes)
	for _, c := range nodes {
		if err := c.start(); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return serve(ctx, l, nodes, opts.every, out)
}

// serve serves the page and what passes through the balancer.
func serve(ctx context.Context, l net.Listener, nodes []*child, every time.Duration, out io.Writer) error {
	b := newBalancer(nodes)
	server := &http.Server{Handler: handler(b), ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	probing, stop := context.WithCancel(context.Background())
	defer stop()
	wg.Go(func() { b.probe(probing) })
	wg.Go(func() {
		publishTicks(ctx, "http://"+l.Addr().String()+"/push/topics/ticks", every)
		stopAll(nodes) // their streams are told to come back
		_ = server.Close()
	})
	fmt.Fprintf(out, "The cluster is on http://%s\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func stopAll(nodes []*child) {
	var wg sync.WaitGroup
	for _, c := range nodes {
		wg.Go(c.stop)
	}
	wg.Wait()
}

// handler serves the page, its buttons, and everything else from the nodes.
func handler(b *balancer) http.Handler {
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // it is embedded
	}
	page := wall.Page(web)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /cluster.js", page)
	mux.Handle("GET /nodes.js", page)
	mux.Handle("GET /cluster.css", page)
	mux.HandleFunc("GET /nodes", b.states)
	mux.Handle("POST /nodes/{name}/{action}", http.NewCrossOriginProtection().Handler(http.HandlerFunc(b.act)))
	mux.Handle("/", b.proxy)
	return mux
}

// states answers GET /nodes.
func (b *balancer) states(w http.ResponseWriter, _ *http.Request) {
	states := make([]childState, len(b.nodes))
	for i, c := range b.nodes {
		states[i] = c.state()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(states) // the client is gone
}

// act is what a button does.
func (b *balancer) act(w http.ResponseWriter, r *http.Request) {
	for _, c := range b.nodes {
		if c.name != r.PathValue("name") {
			continue
		}
		var err error
		switch r.PathValue("action") {
		case "kill":
			c.kill()
		case "start":
			err = c.start()
		case "restart":
			err = c.restart()
		default:
			http.NotFound(w, r)
			return
		}
		if err != nil && !errors.Is(err, errRuns) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		b.states(w, r)
		return
	}
	http.NotFound(w, r)
}
