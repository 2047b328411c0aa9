// The server of the client's tests: a mount at /push that anybody may use, and
// a way to make many events at once.
//
//	POST /burst?topic=t&from=1&n=1000   publishes the numbers from … from+n-1
//	GET  /blank                         an empty page of the same origin
//	GET  /files/…                       files of the folder -files
//
// It prints its address and ends with its input.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "the address to listen on")
	heartbeat := flag.Duration("heartbeat", 0, "the mount's heartbeat")
	count := flag.Int("count", 100_000, "how many events a topic keeps")
	files := flag.String("files", ".", "what is served at /files/")
	signedIn := flag.String("signed-in", "", "whom the mount is for: with bearer tokens that a \"resource\" takes, or an Auth of the application's \"own\"")
	flag.Parse()
	if err := run(*addr, *heartbeat, *count, *files, *signedIn); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(addr string, heartbeat time.Duration, count int, files, signedIn string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	hub := push.NewHub(push.NewMemory(push.Rules(
		push.Rule{Pattern: "**", Retention: push.Retention{Count: count, Bytes: 1 << 30, Age: -1}},
	), push.MaxBytes(1<<31)))
	hub.Handle("t/refused", func(context.Context, *push.Inbound) error { return push.Refuse("not this one") })
	mount, err := rest.New(rest.Config{
		Hub: hub, Auth: auths[signedIn], PublicURL: map[bool]string{true: "http://" + l.Addr().String()}[signedIn != ""],
		Prefix: "/push", Heartbeat: heartbeat,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/push/", mount)
	mux.HandleFunc("POST /burst", func(w http.ResponseWriter, r *http.Request) { burst(hub, w, r) })
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(files))))
	mux.HandleFunc("/blank", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>blank</title>")
	})
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(l)
}

var auths = map[string]rest.Auth{
	"":         rest.Public(push.Sub("t/**"), push.Pub("t/**")),
	"resource": tokens{},
	"own":      rest.AuthFunc(tokens{}.Authenticate),
}

// tokens takes the token "ann".
type tokens struct{}

func (tokens) AuthorizationServers() []string { return []string{"https://id.example.com"} }
func (tokens) ScopesSupported() []string      { return nil }
func (tokens) Authenticate(r *http.Request) (*rest.Principal, error) {
	if r.Header.Get("Authorization") != "Bearer ann" {
		return nil, rest.InvalidToken("the token is not ann's", nil)
	}
	return &rest.Principal{Subject: "ann", Grants: []push.Grant{push.Sub("t/**"), push.Pub("t/**")}}, nil
}

func burst(hub *push.Hub, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("from"))
	n, _ := strconv.Atoi(q.Get("n"))
	events := make([]push.Event, n)
	for i := range events {
		events[i] = push.Event{Topic: q.Get("topic"), Name: "n", Data: fmt.Append(nil, from+i), ContentType: "application/json"}
	}
	if _, err := hub.Publish(r.Context(), events...); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
