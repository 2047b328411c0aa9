// Package client holds the built browser client, which a mount serves at
// {mount}/client.js. Its sources are TypeScript in src; README.md is its guide.
package client

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
)

//go:embed dist/client.js dist/share.js dist/eventsource.js
var dist embed.FS

// File is a script as it is served.
type File struct {
	Body []byte // must not be changed
	ETag string // strong (RFC 9110 section 8.8.3)
}

// Files are the scripts by their names: client.js, share.js (which client.js
// loads when tabs share a connection) and eventsource.js. The map must not be
// changed.
var Files = load("client.js", "share.js", "eventsource.js")

func load(names ...string) map[string]File {
	files := map[string]File{}
	for _, name := range names {
		body, err := dist.ReadFile("dist/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(body)
		files[name] = File{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	return files
}
