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

	"pushbench/internal/overtls"
)

func main() {
	// Not flag.CommandLine: there package kit has flags of its own.
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:9200", "listen address")
	tls := flags.String("tls", "", "serve the same over TLS here, too: HTTP/2 and HTTP/1.1")
	handler := flags.Bool("handler", false, "hide that connections can be taken over: the handler's goroutine writes")
	wrap := flags.Bool("wrap", false, "wrap every connection, as a listener for metrics or limits does")
	pprof := flags.Bool("pprof", false, "serve /debug/pprof")
	_ = flags.Parse(os.Args[1:]) // exits on an error

	e := newApp(push.New())
	if *handler {
		e.Pre(handlerWrites)
	}
	if *pprof {
		e.Any("/debug/pprof/*", func(c echo.Context) error {
			http.DefaultServeMux.ServeHTTP(c.Response(), c.Request())
			return nil
		})
	}
	if *tls != "" {
		if err := overtls.Serve(*tls, e); err != nil {
			log.Fatal(err)
		}
	}
	if *wrap {
		l, err := wrapped(*addr)
		if err != nil {
			log.Fatal(err)
		}
		e.Listener = l
	}
	log.Fatal(e.Start(*addr))
}
