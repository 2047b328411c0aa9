package openapitest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

const (
	asJSON   = "Accept: application/json"
	asSSE    = "Accept: text/event-stream"
	asNDJSON = "Accept: application/x-ndjson"
	isJSON   = "Content-Type: application/json"
)

// The document is made from the table that routes requests; what it says of
// each of them is checked here: every operation, status and media type in it
// happens, and nothing else does.
func TestDocumentSaysWhatTheServerDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := push.NewHub(push.NewMemory(push.Rules(push.Rule{Pattern: "short", Retention: push.Retention{Count: 1}})))
		hub.Handle("slow", func(ctx context.Context, _ *push.Inbound) error {
			<-ctx.Done()
			return nil
		})
		c := newChecker(t, hub, rest.Limits{AuthFailures: 2})
		c.everyOperation()
		c.files()
		c.reading("/topics/wall", "?")
		c.reading("/events?topic=wall&topic=news/*", "&")
		c.oneEvent()
		c.publishing()
		c.batch()
		c.connections()
		c.credentials()
		c.presence()
		c.tooMuch()
		c.complete()
	})
}

// everyOperation drives what does not depend on the operation.
func (c *checker) everyOperation() {
	for path, item := range c.doc.Paths.Map() {
		path = strings.NewReplacer("{topic}", "wall", "{cid}", "unknown").Replace(path)
		if path == "/events" {
			path += "?topic=wall"
		}
		for method, op := range item.Operations() {
			c.do(http.StatusMisdirectedRequest, method, path, "", "Host: evil.example")
			if op.Security != nil && len(*op.Security) == 0 {
				continue
			}
			c.do(http.StatusUnauthorized, method, path, "", asJSON, "User: expired")
			c.do(http.StatusForbidden, method, path, "", asJSON, "User: banned")
			c.do(http.StatusServiceUnavailable, method, path, "", asJSON, "User: later")
			c.do(http.StatusInternalServerError, method, path, "", asJSON, "User: broken")
			address := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", len(c.seen)) // is shut out
			for range 2 {
				c.do(http.StatusUnauthorized, method, path, "", asJSON, "User: expired", address)
			}
			c.do(http.StatusTooManyRequests, method, path, "", asJSON, address)
		}
	}
}

func (c *checker) files() {
	for _, file := range []string{"/openapi.json", "/client.js", "/share.js", "/eventsource.js"} {
		got := c.do(http.StatusOK, http.MethodGet, file, "")
		c.do(http.StatusNotModified, http.MethodGet, file, "", "If-None-Match: "+got.Header.Get("Etag"))
	}
}

// reading drives a URL in all its ways.
func (c *checker) reading(path, sep string) {
	publish(c, "wall", "hi")
	page := c.do(http.StatusOK, http.MethodGet, path, "", asJSON)
	c.do(http.StatusOK, http.MethodGet, path+sep+"after=forged&limit=5", "", asJSON)
	c.do(http.StatusOK, http.MethodGet, path+sep+"after=0", "", asJSON, "Prefer: wait=5")
	c.do(http.StatusNotModified, http.MethodGet, path, "", asJSON, "If-None-Match: "+page.Header.Get("Etag"))
	c.do(http.StatusOK, http.MethodGet, path+sep+"last=2&format=envelope", "", asSSE)
	c.do(http.StatusOK, http.MethodGet, path, "", asNDJSON)
	c.do(http.StatusOK, http.MethodGet, path, "", asSSE, "User: later")
	c.do(http.StatusSwitchingProtocols, http.MethodGet, path, "", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	c.do(http.StatusNotAcceptable, http.MethodGet, path, "", "Accept: image/png")
	c.do(http.StatusBadRequest, http.MethodGet, path+sep+"limit=x", "", asJSON)
	c.do(http.StatusRequestHeaderFieldsTooLarge, http.MethodGet, path+sep+"after="+strings.Repeat("9", 5000), "", asJSON)
}

func (c *checker) oneEvent() {
	ids := publish(c, "short", "1", "2", "3")
	c.do(http.StatusOK, http.MethodGet, "/topics/short?id="+ids[2], "", asJSON)
	c.do(http.StatusGone, http.MethodGet, "/topics/short?id="+ids[0], "", asJSON)
	c.do(http.StatusNotFound, http.MethodGet, "/topics/short?id=forged", "", asJSON)
}

func publish(c *checker, topic string, data ...string) (ids []string) {
	c.Helper()
	for _, d := range data {
		id, err := c.hub.Publish(context.Background(), push.Event{Topic: topic, Data: []byte(d)})
		if err != nil {
			c.Fatal(err)
		}
		ids = append(ids, id[0].String())
	}
	return ids
}

func (c *checker) publishing() {
	const path = "/topics/wall"
	c.do(http.StatusCreated, http.MethodPost, path, `{"text":"hi"}`, isJSON, "Push-Event: post", "Push-Key: k", "Idempotency-Key: once")
	c.do(http.StatusUnprocessableEntity, http.MethodPost, path, `{"text":`, isJSON)
	c.do(http.StatusBadRequest, http.MethodPost, path, "x", "Content-Type: text/plain", "Push-Event: "+strings.Repeat("x", 200))
	c.do(http.StatusUnsupportedMediaType, http.MethodPost, path, "x", "Content-Encoding: gzip")
	c.do(http.StatusRequestEntityTooLarge, http.MethodPost, path, strings.Repeat("x", 2000), "Content-Type: text/plain")
	c.inFlight("/topics/slow", "1", isJSON, "Idempotency-Key: twice")
	c.slow(http.MethodPost, path)
}

func (c *checker) batch() {
	const path = "/batch"
	c.do(http.StatusOK, http.MethodPost, path,
		`{"events":[{"topic":"wall","event":"post","data":{}},{"topic":"wall","encoding":"base64","type":"image/png","data":"/w=="},
			{"topic":"wall","type":"image/png","data":"x"},{"topic":"a//b","data":1}]}`, isJSON, "Idempotency-Key: many")
	c.do(http.StatusBadRequest, http.MethodPost, path, `{"events":[]}`, isJSON)
	c.do(http.StatusUnsupportedMediaType, http.MethodPost, path, `x`, "Content-Type: text/csv")
	c.do(http.StatusRequestEntityTooLarge, http.MethodPost, path, strings.Repeat(" ", 2<<20), isJSON)
	c.slow(http.MethodPost, path)
}

// inFlight asks for the same thing while it is still being done.
func (c *checker) inFlight(path, body string, headers ...string) {
	c.Helper()
	ctx, cancel := context.WithCancel(c.Context())
	req := c.request(http.MethodPost, path, body, headers...).WithContext(ctx)
	done := make(chan bool)
	go func() {
		defer close(done)
		if res, err := c.client.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	synctest.Wait()
	c.do(http.StatusConflict, http.MethodPost, path, body, headers...)
	cancel()
	<-done
}

// never is a body that does not come.
type never struct{ ctx context.Context }

func (n never) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, n.ctx.Err()
}

// slow sends a body that does not come.
func (c *checker) slow(method, path string, headers ...string) {
	c.Helper()
	req := c.request(method, path, "", append(headers, isJSON)...)
	req.Body, req.ContentLength = http.NoBody, 10
	req.Body = struct {
		never
		closer
	}{never: never{req.Context()}}
	start := time.Now()
	got := c.exchange(req)
	if got.StatusCode != http.StatusRequestTimeout || time.Since(start) > time.Minute {
		c.Fatalf("%s %s with a body that does not come: %d after %v\n%s", method, path, got.StatusCode, time.Since(start), got.body)
	}
	c.check(req, "", got)
}

type closer struct{}

func (closer) Close() error { return nil }

// stream opens a stream and returns its connection.
func (c *checker) stream() (cid string) {
	c.Helper()
	var open struct{ Data struct{ Connection string } }
	got := c.do(http.StatusOK, http.MethodGet, "/topics/wall", "", asNDJSON)
	if err := json.Unmarshal(got.body, &open); err != nil || open.Data.Connection == "" {
		c.Fatalf("%v in %s", err, got.body)
	}
	return open.Data.Connection
}

func (c *checker) connections() {
	base := "/connections/" + c.stream()
	subscriptions, messages, credentials := base+"/subscriptions", base+"/messages", base+"/credentials"
	now := c.do(http.StatusOK, http.MethodGet, subscriptions, "")
	c.do(http.StatusOK, http.MethodPatch, subscriptions, `{"add":["news"]}`, isJSON, "If-Match: "+now.Header.Get("Etag"))
	c.do(http.StatusPreconditionFailed, http.MethodPatch, subscriptions, `{"add":["more"]}`, isJSON, "If-Match: "+now.Header.Get("Etag"))
	c.do(http.StatusBadRequest, http.MethodPatch, subscriptions, `{"add":1}`, isJSON)
	c.do(http.StatusRequestEntityTooLarge, http.MethodPatch, subscriptions, strings.Repeat(" ", 2000), isJSON)
	c.slow(http.MethodPatch, subscriptions)

	c.do(http.StatusOK, http.MethodPost, messages, `{"action":"publish","data":1}`, isJSON)
	c.do(http.StatusOK, http.MethodPost, messages, `{"action":"subscribe","topics":["wall"],"last":2}`, isJSON)
	c.do(http.StatusOK, http.MethodPost, messages, `{"action":"unsubscribe","topics":["wall"]}`, isJSON)
	c.do(http.StatusBadRequest, http.MethodPost, messages, `{"action":"dance"}`, isJSON)
	c.do(http.StatusUnprocessableEntity, http.MethodPost, messages, `{"action":"publish","event":"open","data":1}`, isJSON)
	c.do(http.StatusNotImplemented, http.MethodPost, messages, `{"action":"credentials","token":"x"}`, isJSON)
	c.do(http.StatusRequestEntityTooLarge, http.MethodPost, messages, strings.Repeat(" ", 2000), isJSON)
	c.slow(http.MethodPost, messages)
	c.inFlight(messages, `{"action":"publish","topic":"slow","data":1,"idem":"twin"}`, isJSON)

	c.do(http.StatusOK, http.MethodPut, credentials, "")
	c.do(http.StatusNoContent, http.MethodDelete, base, "")
	synctest.Wait()
	for path, methods := range map[string][]string{
		base: {http.MethodDelete}, subscriptions: {http.MethodGet, http.MethodPatch}, messages: {http.MethodPost}, credentials: {http.MethodPut},
	} {
		for _, method := range methods {
			c.do(http.StatusNotFound, method, path, "")
		}
	}
}

func (c *checker) credentials() {
	for path, ok := range map[string]string{"/tickets": `{"topics":["wall"],"actions":["sub"]}`, "/revocations": `{"sub":"nobody"}`} {
		status := map[string]int{"/tickets": http.StatusCreated, "/revocations": http.StatusNoContent}[path]
		c.do(status, http.MethodPost, path, ok, isJSON, "User: ann")
		c.do(http.StatusBadRequest, http.MethodPost, path, `{}`, isJSON, "User: ann")
		c.do(http.StatusRequestEntityTooLarge, http.MethodPost, path, strings.Repeat(" ", 2000), isJSON, "User: ann")
		c.slow(http.MethodPost, path, "User: ann")
	}
}

func (c *checker) presence() {
	for _, user := range []string{"ann", "bob"} {
		c.do(http.StatusOK, http.MethodGet, "/topics/room", "", asSSE, "User: "+user)
	}
	synctest.Wait()
	got := c.do(http.StatusOK, http.MethodGet, "/presence/room?limit=1", "")
	if !strings.Contains(string(got.body), `"total":2`) || got.Header.Get("Link") == "" {
		c.Errorf("presence: %s %v", got.body, got.Header)
	}
	c.do(http.StatusBadRequest, http.MethodGet, "/presence/room?limit=x", "")
	c.do(http.StatusNotFound, http.MethodGet, "/presence/wall", "")
}

// tooMuch checks the limits of operations themselves.
func (c *checker) tooMuch() {
	for range 300 {
		if c.exchange(c.request(http.MethodPost, "/topics/wall", "x", "User: ann")).StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	c.do(http.StatusTooManyRequests, http.MethodPost, "/topics/wall", "x", "Content-Type: text/plain", "User: ann")
}
