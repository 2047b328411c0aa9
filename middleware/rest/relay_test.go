package rest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// wiretap is a broker whose every event and stored value somebody reads, and
// that can be cut off.
type wiretap struct {
	*push.Memory
	mu   sync.Mutex
	seen strings.Builder
	down atomic.Bool
}

// inBase64 is what bytes are within JSON.
var inBase64 = regexp.MustCompile(`"[A-Za-z0-9+/]{8,}=*"`)

func (b *wiretap) note(data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.Write(data)
	for _, s := range inBase64.FindAllString(string(data), -1) {
		plain, _ := base64.StdEncoding.DecodeString(strings.Trim(s, `"`))
		b.seen.Write(plain)
	}
	if b.down.Load() {
		return errDown
	}
	return nil
}

func (b *wiretap) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	for i := range events {
		if err := b.note(events[i].Data); err != nil {
			return nil, err
		}
	}
	return b.Memory.Publish(ctx, events...)
}

func (b *wiretap) Store() push.Store { return tappedStore{b.Memory.Store(), b} }

type tappedStore struct {
	push.Store
	b *wiretap
}

func (s tappedStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.b.note(append([]byte(key), value...)); err != nil {
		return err
	}
	return s.Store.Set(ctx, key, value, ttl)
}

// nodes are mounts over one log, each with a hub of its own, in a bubble.
func nodes(t *testing.T, cfgs ...rest.Config) (*wiretap, []*site) {
	broker := &wiretap{Memory: push.NewMemory()}
	var sites []*site
	for _, cfg := range cfgs {
		cfg.Hub = push.NewHub(struct{ push.Broker }{broker})
		synctest.Wait() // until it follows the log
		sites = append(sites, serveInMemory(t, cfg, &http.Server{}))
	}
	return broker, sites
}

// Whatever can be asked about a connection has the same answer on all nodes.
func TestConnectionIsControlledFromAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := rest.AuthFunc(func(r *http.Request) (*rest.Principal, error) {
			p := &rest.Principal{Subject: r.Header.Get("User"), Grants: []push.Grant{push.Sub("open/**"), push.Pub("open/**")}}
			if r.Header.Get("Less") != "" {
				p.Grants = []push.Grant{push.Sub("open/a")}
			}
			return p, nil
		})
		_, sites := nodes(t, rest.Config{Auth: auth, MaxTopics: 3}, rest.Config{Auth: auth, MaxTopics: 3})
		for _, user := range []string{"ann", ""} {
			for i, c := range []struct {
				method, what, body string
				status             int
				headers            []string
			}{
				{"GET", "/subscriptions", "", 200, nil},
				{"GET", "/subscriptions", "", 404, []string{"User: bob"}},
				{"PATCH", "/subscriptions", `{"add":["open/b","open/c"],"remove":["open/a"]}`, 200, nil},
				{"PATCH", "/subscriptions", `{"add":["open/b"]}`, 412, []string{`If-Match: "other"`}},
				{"PATCH", "/subscriptions", `{"add":["secret"]}`, 403, nil},
				{"PATCH", "/subscriptions", `{"add":["open/b"]}`, 403, []string{"Less: 1"}},
				{"PATCH", "/subscriptions", `{"add":["open/b","open/c","open/d"]}`, 400, nil},
				{"PATCH", "/subscriptions", `{"add":["a//b"]}`, 400, nil},
				{"PATCH", "/subscriptions", `{`, 400, nil},
				{"PATCH", "/subscriptions", strings.Repeat("x", 65<<10), 413, nil},
				{"POST", "/messages", `{"action":"subscribe","topics":["open/b"],"last":2}`, 200, nil},
				{"POST", "/messages", `{"action":"unsubscribe","topics":["open/a"]}`, 200, nil},
				{"POST", "/messages", `{"action":"publish","data":1}`, 200, nil},
				{"POST", "/messages", `{"action":"publish","topic":"secret","data":1}`, 403, nil},
				{"POST", "/messages", `{"action":"publish","event":"push.x","data":1}`, 422, nil},
				{"POST", "/messages", `{"action":"publish","data":1}`, 404, []string{"User: bob"}},
				{"POST", "/messages", `{"action":"credentials","token":"x"}`, 501, nil},
				{"POST", "/messages", "{\"action\":\"credentials\",\"token\":\"\xff\"}", 400, nil},
				{"POST", "/messages", `{"action":"dance"}`, 400, nil},
				{"POST", "/messages", strings.Repeat("x", 65<<10), 413, nil},
				{"PUT", "/credentials", "", 200, []string{"Less: 1"}},
				{"PUT", "/credentials", "", 403, []string{"User: bob"}},
				{"DELETE", "", "", 404, []string{"User: bob"}},
				{"DELETE", "", "", 204, nil},
			} {
				var got [2]answer
				var topics [2][]string
				for j, asked := range sites {
					es := sites[0].follow("/topics/open/a", "User: "+user)
					headers := append([]string{"User: " + user}, c.headers...)
					if len(c.headers) > 0 && strings.HasPrefix(c.headers[0], "User") {
						headers = c.headers
					}
					start := time.Now()
					got[j] = asked.do(c.method, "/connections/"+es.cid+c.what, c.body, headers...)
					asked.expect(c.status, got[j])
					if d := time.Since(start); d > time.Second {
						t.Errorf("%s took %v", got[j].what, d)
					}
					if c.status == 204 {
						var end closeData
						if es.expect("push.close", &end); end.Code != push.CloseForbidden {
							t.Errorf("push.close %+v", end)
						}
						es.ended()
						continue
					}
					topics[j] = sites[0].subscriptions(sites[0].get("/connections/"+es.cid+"/subscriptions", "User: "+user)).Topics
					es.close()
				}
				if !slices.Equal(topics[0], topics[1]) {
					t.Errorf("case %d: topics are %v on its own node and %v from the other", i, topics[0], topics[1])
				}
				for _, name := range []string{"Content-Type", "Etag", "Cache-Control", "Retry-After"} {
					if a, b := got[0].Header.Get(name), got[1].Header.Get(name); a != b {
						t.Errorf("case %d: %s is %q on its own node and %q from the other", i, name, a, b)
					}
				}
				if len(got[0].body) != len(got[1].body) { // positions differ, and are as long
					t.Errorf("case %d: on its own node %s from the other %s", i, got[0].body, got[1].body)
				}
				time.Sleep(time.Minute) // for the limits
			}
		}
	})
}

func TestStreamGoesOnWithWhatAnotherNodeAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sites := nodes(t, rest.Config{}, rest.Config{})
		a, b := sites[0], sites[1]
		es, c := a.follow("/topics/wall"), a.socket("/topics/wall")
		b.expect(http.StatusOK, b.patch(es.cid, `{"add":["news"]}`))
		b.expect(http.StatusOK, b.patch(c.cid, `{"add":["news"]}`))
		es.changed()
		c.expect("push.subscriptions", nil)
		b.publish("news", "1")
		es.messages("1")
		c.expect("message", nil)
	})
}

// A reply may be larger than one entry of the store.
func TestLargeReplyComesFromAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sites := nodes(t, rest.Config{}, rest.Config{})
		big := strings.Repeat("x", 50<<10)
		sites[0].publish("news", big, big+"1", big+"2")
		es := sites[0].follow("/topics/wall")
		res := sites[1].subscriptions(sites[1].post("/connections/"+es.cid+"/messages", `{"action":"subscribe","topics":["news"],"last":3}`))
		if len(res.Items) == 0 || res.Items[len(res.Items)-1].text() != big+"2" {
			t.Errorf("%d items", len(res.Items))
		}
	})
}

// No token leaves the node that it was sent to.
func TestTokenDoesNotTravelBetweenNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		cfg := rest.Config{Auth: i, PublicURL: "https://app.example.com"}
		broker, sites := nodes(t, cfg, cfg)
		a, b := sites[0], sites[1]
		a.asHost("app.example.com")
		b.asHost("app.example.com")
		ann := i.issue("ann", 10*time.Second)
		es := a.follow("/topics/wall", ann)
		longer, bobs := i.issue("ann", 0), i.issue("bob", 0)
		token := func(header string) string { return strings.TrimPrefix(header, "Authorization: Bearer ") }
		message := func(token string) answer {
			return b.post("/connections/"+es.cid+"/messages", `{"action":"credentials","token":"`+token+`"}`, ann)
		}
		b.expect(http.StatusForbidden, message(token(bobs)))
		denied := b.patch(es.cid, `{"add":["closed"]}`, i.issue("ann", 0, push.Sub("wall")))
		if b.expect(http.StatusForbidden, denied); !strings.Contains(denied.Header.Get("Www-Authenticate"), "insufficient_scope") {
			t.Errorf("403 with %v", denied.Header)
		}
		b.expect(http.StatusUnauthorized, message("made-up"))
		b.expect(http.StatusBadRequest, b.post("/connections/"+es.cid+"/messages", `{"action":"credentials","token":"`+token(longer)+`"`, ann))
		b.expect(http.StatusForbidden, b.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", bobs))
		b.expect(http.StatusOK, message(token(longer)))
		time.Sleep(20 * time.Second) // longer than the first token
		a.publish("wall", "1")
		es.messages("1")
		b.expect(http.StatusOK, b.do(http.MethodPut, "/connections/"+es.cid+"/credentials", "", longer))
		if seen := broker.seen.String(); strings.Contains(seen, "token-") || !strings.Contains(seen, "session-") {
			t.Errorf("on the broker was %s", seen)
		}
	})
}

// The log is kept and read by many: the name of a connection, which is a
// capability, is not in it.
func TestConnectionNameIsNotInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, sites := nodes(t, rest.Config{}, rest.Config{})
		es := sites[0].follow("/topics/wall")
		sites[1].expect(http.StatusOK, sites[1].patch(es.cid, `{"add":["news"]}`))
		page, err := broker.History(t.Context(), push.Query{Topics: []string{"$push/nodes"}, Limit: 100})
		if err != nil || len(page.Events) != 2 {
			t.Fatalf("%d notes, %v: want a question and an answer", len(page.Events), err)
		}
		for _, e := range page.Events {
			if strings.Contains(string(e.Data), es.cid) || strings.Contains(string(e.Data), "news") {
				t.Errorf("the log has %s", e.Data)
			}
		}
		left, err := broker.Store().List(t.Context(), "relay/")
		if err != nil || len(left) > 0 {
			t.Errorf("in the store are left: %v %v", left, err)
		}
	})
}

func TestConnectionOfANodeThatDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sites := nodes(t, rest.Config{}, rest.Config{})
		a, b := sites[0], sites[1]
		cid := a.follow("/topics/wall").cid
		b.expect(http.StatusOK, b.patch(cid, `{"add":["news"]}`))
		time.Sleep(24 * time.Second)
		b.expect(http.StatusOK, b.patch(cid, `{"add":["olds"]}`)) // it has said again and again that it lives
		a.kill()
		start := time.Now()
		got := b.patch(cid, `{"add":["news"]}`)
		b.expect(http.StatusServiceUnavailable, got) // nobody can know yet
		if d := time.Since(start); d > 4*time.Second || got.Header.Get("Retry-After") == "" {
			t.Errorf("503 after %v, Retry-After %q", d, got.Header.Get("Retry-After"))
		}
		time.Sleep(20 * time.Second)
		b.expect(http.StatusNotFound, b.patch(cid, `{"add":["news"]}`))
	})
}

func TestConnectionThatNobodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, sites := nodes(t, rest.Config{}, rest.Config{}, rest.Config{PublicURL: "https://other.example.com"})
		a, b, other := sites[0], sites[1], sites[2]
		other.asHost("other.example.com")
		es := a.follow("/topics/wall")
		other.expect(http.StatusNotFound, other.get("/connections/"+es.cid+"/subscriptions")) // it is another mount's
		es.close()
		synctest.Wait()
		b.expect(http.StatusNotFound, b.get("/connections/"+es.cid+"/subscriptions")) // over
		head, err := broker.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mine := b.follow("/topics/wall")
		mine.close()
		synctest.Wait()
		for _, cid := range []string{
			"made-up", strings.Repeat("x", 30), mine.cid, es.cid[:29] + ".", es.cid + "x", es.cid[:22] + "%2e%2e%2f", strings.Repeat("-", 10000),
		} {
			b.expect(http.StatusNotFound, b.get("/connections/"+cid+"/subscriptions"))
		}
		if now, _ := broker.Head(t.Context()); now != head {
			t.Error("names that no node gave have written to the log")
		}
	})
}

// Whoever asks about connections of other nodes writes to the log: not as often
// as it likes.
func TestQuestionsToOtherNodesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sites := nodes(t, rest.Config{Auth: who}, rest.Config{Auth: who})
		cid := sites[0].follow("/topics/wall", "User: ann").cid
		for _, path := range []string{cid, strings.Repeat("x", 22) + cid[22:], strings.Repeat("x", 30)} {
			n := 0
			for n < 1000 && sites[1].get("/connections/"+path+"/subscriptions", "User: bob").StatusCode == http.StatusNotFound {
				n++
			}
			if n > 250 {
				t.Errorf("%d questions about %q at once", n, path)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestNodesThatCannotReachTheBrokerSay503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, sites := nodes(t, rest.Config{}, rest.Config{})
		es := sites[0].follow("/topics/wall")
		broker.down.Store(true)
		got := sites[1].patch(es.cid, `{"add":["news"]}`)
		sites[1].expect(http.StatusServiceUnavailable, got)
		if got.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		broker.down.Store(false)
		time.Sleep(10 * time.Second)
		sites[1].expect(http.StatusOK, sites[1].patch(es.cid, `{"add":["news"]}`))
	})
}

// A stream that opened while the store was away is found once it is back.
func TestNodeThatCouldNotRegisterDoesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, sites := nodes(t, rest.Config{}, rest.Config{})
		broker.down.Store(true)
		es := sites[0].follow("/topics/wall")
		broker.down.Store(false)
		time.Sleep(10 * time.Second)
		sites[1].expect(http.StatusOK, sites[1].patch(es.cid, `{"add":["news"]}`))
		es.changed()
	})
}

// The application's own rules run on the node of the stream: what they do there
// must not end it.
func TestPanicOnAnotherNodeIs500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := rest.Config{Authorize: func(_ context.Context, _ *rest.Principal, _ push.Action, topic string) (bool, error) {
			if topic == "boom" {
				panic("boom")
			}
			return true, nil
		}}
		_, sites := nodes(t, cfg, cfg)
		es := sites[0].follow("/topics/wall")
		sites[1].expect(http.StatusInternalServerError, sites[1].patch(es.cid, `{"add":["boom"]}`))
		if !strings.Contains(sites[0].log.String(), "panic") {
			t.Error("the log does not say so")
		}
		sites[0].publish("wall", "1")
		es.messages("1")
	})
}

func TestManyQuestionsAtOnceAllGetTheirOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := rest.Config{Limits: rest.Limits{ConnectionMessages: -1}}
		_, sites := nodes(t, cfg, cfg, cfg)
		es := sites[0].follow("/topics/wall")
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				body := fmt.Sprintf(`{"action":"publish","topic":"t/%d","data":%d}`, i, i)
				a := sites[1+i%2].post("/connections/"+es.cid+"/messages", body)
				var published struct{ ID string }
				if err := json.Unmarshal([]byte(a.body), &published); err != nil || a.StatusCode != http.StatusOK {
					t.Errorf("%d: %s %v", a.StatusCode, a.body, err)
					return
				}
				if e := sites[0].get(fmt.Sprintf("/topics/t/%d?id=%s", i, published.ID)); !strings.Contains(e.body, fmt.Sprintf(`"data":%d`, i)) {
					t.Errorf("the id of %d is that of %s", i, e.body)
				}
			})
		}
		wg.Wait()
	})
}

func TestDisconnectReachesAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		cfg := rest.Config{Auth: i, PublicURL: "https://app.example.com"}
		_, sites := nodes(t, cfg, cfg)
		h, _ := newHandler(t, rest.Config{Auth: i, PublicURL: cfg.PublicURL, Hub: sites[0].hub})
		ann, bob := i.issue("ann", 0), i.issue("bob", 0)
		var streams []*eventSource
		for _, s := range sites {
			s.asHost("app.example.com")
			streams = append(streams, s.follow("/topics/wall", ann))
		}
		stays := sites[1].follow("/topics/wall", bob)
		if err := h.Disconnect(t.Context(), rest.Revocation{}, nil); rest.AsProblem(err).Status != http.StatusBadRequest {
			t.Errorf("nobody's streams: %v", err)
		}
		start := time.Now()
		why := &push.CloseError{Code: push.CloseDrain, Reason: "moved", Retry: time.Second}
		if err := h.Disconnect(t.Context(), rest.Revocation{Subject: "ann"}, why); err != nil {
			t.Fatal(err)
		}
		for _, es := range streams {
			var end closeData
			if es.expect("push.close", &end); end.Code != push.CloseDrain || end.Reason != "moved" || end.Retry != 1000 {
				t.Errorf("push.close %+v", end)
			}
			es.ended()
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		sites[1].follow("/topics/wall", ann) // nothing is void
		sites[0].publish("wall", "1")
		stays.messages("1")
		if err := h.Disconnect(t.Context(), rest.Revocation{Subject: "bob"}, nil); err != nil {
			t.Fatal(err)
		}
		var end closeData
		if stays.expect("push.close", &end); end.Code != push.CloseForbidden || end.Reason == "" {
			t.Errorf("without a reason: push.close %+v", end)
		}
	})
}

func TestVisitorsKeyIsItsConnectionsOnAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sites := nodes(t, rest.Config{}, rest.Config{})
		a, b := sites[0], sites[1]
		mine, others := "Push-Connection: "+a.follow("/topics/wall").cid, "Push-Connection: "+a.follow("/topics/wall").cid
		first := a.published(a.post("/topics/wall", "hi", key, mine))
		if again := b.published(b.post("/topics/wall", "hi", key, mine)); again != first {
			t.Errorf("on the other node the retry became %s, not %s", again, first)
		}
		if another := b.published(b.post("/topics/wall", "hi", key, others)); another == first {
			t.Error("another visitor's key was taken for it")
		}
	})
}
