package rest

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/dualpush-go/dualpush/client"
	"github.com/dualpush-go/dualpush/poll"
)

// clientResources are the files of the browser client, for everybody: a page
// loads them before it has credentials.
func clientResources() (list []resource) {
	for _, name := range slices.Sorted(maps.Keys(client.Files)) {
		file := client.Files[name]
		list = append(list, resource{path: "/" + name, ops: []operation{{
			method: http.MethodGet, open: true, id: strings.TrimSuffix(name, ".js") + "Script", does: "Load the browser client: " + name + ".",
			serve: func(q *request) error {
				q.writeTagged("text/javascript; charset=utf-8", file.ETag, file.Body)
				return nil
			},
			params: []string{"IfNoneMatch"},
			gives: []answer{
				{status: 200, says: "A module.", bodies: []string{"text/javascript Script"}, headers: []string{"ETag"}},
				{status: 304, says: "The client has it already.", headers: []string{"ETag"}},
			},
		}}})
	}
	return list
}

// writeTagged answers with a body that changes with the server only: 304 if the
// client has it.
func (q *request) writeTagged(mediaType, etag string, body []byte) {
	h := q.w.Header()
	h.Set("Etag", etag)
	h.Set("Cache-Control", "no-cache") // a new server has a new one
	if poll.Matches(q.r, etag) {
		q.w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", mediaType)
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client is gone
	}
}
