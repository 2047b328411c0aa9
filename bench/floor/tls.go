package main

import (
	"flag"
	"net/http"

	"pushbench/internal/overtls"
)

// This file is not of the original floors, which stay as they are: it serves
// one of them over TLS.

var tlsAddr = flag.String("tls", "127.0.0.1:9121", "listen address of the TLS modes; -addr serves the same without")

func init() {
	modes["nethttplog-tls"] = struct {
		what  string
		start func(*http.ServeMux) func(topic string, seq int, p []byte)
	}{"SSE: nethttplog over TLS, HTTP/1.1 or HTTP/2", func(mux *http.ServeMux) func(string, int, []byte) {
		publish := nethttplog(mux)
		if err := overtls.Serve(*tlsAddr, mux); err != nil {
			panic(err)
		}
		return publish
	}}
}
