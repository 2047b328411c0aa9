// Command server is the server under test: an ordinary Echo app with the
// middleware mounted at /push, and what pushload needs besides, /burst and /gc.
package main

import (
	"flag"
	"log"
	"net/http"
	_ "net/http/pprof"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/push"
)

func main() {
	// Not flag.CommandLine: there package kit has flags of its own.
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:9200", "listen address")
	pprof := flags.Bool("pprof", false, "serve /debug/pprof")
	_ = flags.Parse(os.Args[1:]) // exits on an error

	e := newApp(push.New())
	if *pprof {
		e.Any("/debug/pprof/*", func(c echo.Context) error {
			http.DefaultServeMux.ServeHTTP(c.Response(), c.Request())
			return nil
		})
	}
	log.Fatal(e.Start(*addr))
}
