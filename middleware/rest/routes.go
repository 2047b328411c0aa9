package rest

import (
	"net/http"
	"slices"
	"strings"
)

// resource is a kind of URL below the mount. The table of them is the one
// place that routing, Allow, 405 and openapi.json come from.
type resource struct {
	path    string // as OpenAPI writes it, e.g. "/connections/{cid}/messages"; {topic} takes the rest of the path
	streams bool   // a GET can be answered with a live stream
	ops     []operation
}

// operation is what a method does to a resource, and what openapi.json says of
// it. The statuses that every operation can have are added there: see
// commonFailures.
type operation struct {
	method string // GET serves HEAD, too
	serve  func(*request) error
	open   bool // to everybody: credentials and origin are not looked at

	id     string   // the operation's name for generated clients
	does   string   // in a sentence
	params []string // beside that of the path; names under components/parameters
	takes  []string // bodies as "media/type Schema"
	gives  []answer // what it answers when it succeeds
	fails  []int    // the statuses that are its own; the bodies are problems
}

// answer is one way to succeed.
type answer struct {
	status  int
	says    string
	bodies  []string // as "media/type Schema"; none: no body
	headers []string // names under components/headers
}

// resources is the table.
func resources() []resource {
	return slices.Concat(topicResources(), connectionResources(), credentialResources(), clientResources(), []resource{presenceResource(), openAPIResource()})
}

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeSSE     = "text/event-stream"
	typeNDJSON  = "application/x-ndjson"
)

// route finds the resource of an escaped path below the mount, and reads the
// variable of its path.
func (q *request) route(path string) (*resource, error) {
	for i := range q.routes {
		r := &q.routes[i]
		name, arg, ok := r.match(path)
		switch {
		case !ok:
			continue
		case name == "topic":
			topic, p := canonicalTopic(arg)
			if p == nil {
				p = q.checkReadable(topic)
			}
			if p != nil {
				return nil, p
			}
			q.topic = topic
		default:
			q.arg = arg
		}
		return r, nil
	}
	return nil, q.notFound()
}

// match reports whether path is of this resource, and returns the name and the
// escaped value of its variable, if it has one.
func (r *resource) match(path string) (name, arg string, ok bool) {
	before, after, _ := strings.Cut(r.path, "{")
	name, after, variable := strings.Cut(after, "}")
	if !variable {
		return "", "", path == r.path
	}
	arg, ok = strings.CutPrefix(path, before)
	if !ok || !strings.HasSuffix(arg, after) {
		return "", "", false
	}
	arg = arg[:len(arg)-len(after)]
	return name, arg, arg != "" && (name == "topic" || !strings.Contains(arg, "/"))
}

// operation returns what a method does, or nil.
func (r *resource) operation(method string) *operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range r.ops {
		if r.ops[i].method == method {
			return &r.ops[i]
		}
	}
	return nil
}

// allow is the value of Allow (RFC 9110 section 10.2.1).
func (r *resource) allow() string {
	var names []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if r.operation(method) != nil {
			names = append(names, method)
		}
	}
	return strings.Join(append(names, http.MethodOptions), ", ")
}

func (q *request) notFound() error {
	return problemf(http.StatusNotFound, "there is no such resource; there are %s/topics/{topic} and %s/events?topic={topic}", q.prefix, q.prefix)
}
