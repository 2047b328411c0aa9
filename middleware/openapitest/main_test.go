package openapitest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/memnet"
	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) {
	for _, stream := range []string{"text/event-stream", "application/x-ndjson", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(stream, openapi3filter.PlainBodyDecoder)
	}
	goleak.VerifyTestMain(m)
}

const host = "api.example.com"

// checker drives a mount and compares each exchange with the document.
type checker struct {
	*testing.T
	hub    *push.Hub
	client *http.Client
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool // "operation status media/type"
}

// newChecker mounts a handler at /push of a server in memory.
func newChecker(t *testing.T, hub *push.Hub, limits rest.Limits) *checker {
	h, err := rest.New(rest.Config{
		Hub: hub, Prefix: "/push", PublicURL: "http://" + host, Auth: rest.AuthFunc(authenticate), Limits: limits,
		TrustedProxies: []string{"127.0.0.1"}, MaxMessage: 1000, Presence: rest.Presence{Topics: []string{"room"}}, MaxConnections: 100, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	n := memnet.New()
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(n) }()
	tr := &http.Transport{DialContext: n.Dial, DisableCompression: true}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = hub.Shutdown(ctx)
		tr.CloseIdleConnections()
		_ = srv.Close()
	})
	c := &checker{T: t, hub: hub, client: &http.Client{Transport: tr}, seen: map[string]bool{}}
	c.load()
	return c
}

// authenticate believes what the header User says.
func authenticate(r *http.Request) (*rest.Principal, error) {
	problem := func(status int) error {
		return &rest.Problem{Title: http.StatusText(status), Status: status, Detail: "as the test wants it", Header: http.Header{"Www-Authenticate": {"Bearer"}}}
	}
	switch user := r.Header.Get("User"); user {
	case "expired":
		return nil, problem(http.StatusUnauthorized)
	case "banned":
		return nil, problem(http.StatusForbidden)
	case "later":
		return nil, problem(http.StatusServiceUnavailable)
	case "broken":
		return nil, errors.New("the test's")
	default:
		return &rest.Principal{Subject: user, Grants: []push.Grant{push.Sub("**"), push.Pub("**"), push.Presence("**"), push.Manage("**")}}, nil
	}
}

// load reads the document from the mount and validates it.
func (c *checker) load() {
	c.Helper()
	body := c.exchange(c.request(http.MethodGet, "/openapi.json", "")).body
	doc, err := openapi3.NewLoader().LoadFromData(body)
	if err != nil {
		c.Fatal(err)
	}
	if err := doc.Validate(c.Context()); err != nil {
		c.Fatalf("openapi.json is not valid: %v", err)
	}
	if c.router, err = gorillamux.NewRouter(doc); err != nil {
		c.Fatal(err)
	}
	c.doc = doc
}

func (c *checker) request(method, path, body string, headers ...string) *http.Request {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), time.Hour) // of the bubble's clock
	c.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/push"+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	if body == "" {
		req.Body = http.NoBody
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	return req
}

// reply is an answer as far as it was read: of a stream its first event.
type reply struct {
	*http.Response
	body []byte
}

// do makes a request and compares the exchange with the document.
func (c *checker) do(want int, method, path, body string, headers ...string) reply {
	c.Helper()
	req := c.request(method, path, body, headers...)
	got := c.exchange(req)
	if got.StatusCode != want {
		c.Fatalf("%s %s %v: status %d, want %d\n%s", method, path, headers, got.StatusCode, want, got.body)
	}
	c.check(req, body, got)
	return got
}

// exchange reads an answer.
func (c *checker) exchange(req *http.Request) reply {
	c.Helper()
	res, err := c.client.Do(req)
	if err != nil {
		c.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	c.Cleanup(func() { _ = res.Body.Close() })
	r := reply{Response: res}
	switch mediaType(res.Header) {
	case "text/event-stream", "application/x-ndjson":
		line := bufio.NewReader(res.Body)
		r.body, err = line.ReadBytes('\n')
		go func() { _, _ = io.Copy(io.Discard, line) }() // who does not read is given up
	default:
		if res.StatusCode != http.StatusSwitchingProtocols {
			r.body, err = io.ReadAll(res.Body)
		}
	}
	if err != nil {
		c.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return r
}

func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return t
}

// check compares an exchange with the document: its status, its headers, its
// body, and of a request that succeeded its parameters and its body, too.
func (c *checker) check(req *http.Request, body string, got reply) {
	c.Helper()
	where := req.Clone(c.Context())
	where.Host = host
	where.Body = io.NopCloser(strings.NewReader(body))
	route, vars, err := c.router.FindRoute(where)
	if err != nil {
		c.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	opts := &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	asked := &openapi3filter.RequestValidationInput{Request: where, PathParams: vars, Route: route, Options: opts}
	if got.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(c.Context(), asked); err != nil {
			c.Errorf("%s %s was served, but by the document it is not allowed: %v", req.Method, req.URL, err)
		}
	}
	answered := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: got.StatusCode, Header: got.Header, Body: io.NopCloser(bytes.NewReader(got.body)), Options: opts,
	}
	if err := openapi3filter.ValidateResponse(c.Context(), answered); err != nil {
		c.Errorf("%s %s: %d is not as the document says: %v\n%s", req.Method, req.URL, got.StatusCode, err, got.body)
	}
	c.checkMore(route.Operation, got)
}

// checkMore checks what the validator passes over: that the type of a body is
// one of those that are listed, and that a status without bodies has none.
func (c *checker) checkMore(op *openapi3.Operation, got reply) {
	c.Helper()
	described := op.Responses.Status(got.StatusCode)
	if described == nil {
		c.Fatalf("%s answered %d, which is not in the document", op.OperationID, got.StatusCode)
	}
	content := described.Value.Content
	t := mediaType(got.Header)
	if len(got.body) == 0 {
		t = ""
	}
	if t == "" && len(content) > 0 || t != "" && content[t] == nil {
		c.Errorf("%s answered %d with %q, the document has %v", op.OperationID, got.StatusCode, t, content)
	}
	c.seen[fmt.Sprintf("%s %d %s", op.OperationID, got.StatusCode, t)] = true
}

// complete fails for everything in the document that was not seen.
func (c *checker) complete() {
	c.Helper()
	for _, item := range c.doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, res := range op.Responses.Map() {
				types := res.Value.Content
				if len(types) == 0 {
					types = openapi3.Content{"": nil}
				}
				for t := range types {
					if name := fmt.Sprintf("%s %s %s", op.OperationID, status, t); !c.seen[name] {
						c.Errorf("documented, but never seen: %s", name)
					}
				}
			}
		}
	}
}
