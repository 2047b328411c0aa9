package middleware_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dualpush-go/dualpush/internal/idp"
	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// The attack table: each attack, and the answer that is part of the contract.

// target is an app whose mount takes tokens of a provider.
type target struct {
	*app
	idp *idp.Provider
}

const publicURL, ownHost = "https://api.example.com", "Host: api.example.com"

func attacked(t *testing.T, change ...func(*middleware.OIDCConfig, *middleware.Config)) *target {
	t.Helper()
	return attackedOver(t, idp.New(t), push.New(), change...)
}

func attackedOver(t *testing.T, p *idp.Provider, hub *push.Hub, change ...func(*middleware.OIDCConfig, *middleware.Config)) *target {
	t.Helper()
	a := newApp(t)
	a.hub = hub
	cfg := a.config()
	oidc := middleware.OIDCConfig{Issuer: p.URL, Audience: idp.Audience, Client: p.Client, Logger: cfg.Logger, Scopes: middleware.ScopeMap{
		"chat.read": {push.Sub("chat/**"), push.Sub("users/{sub}/**")}, "chat.write": {push.Pub("chat/**")}, "admin": {push.Manage("**")},
	}}
	cfg.PublicURL, cfg.Origins, cfg.Limits.AuthFailures = publicURL, []string{"https://app.example.com"}, -1
	for _, c := range change {
		c(&oidc, &cfg)
	}
	cfg.Auth = middleware.OIDC(oidc)
	middleware.Mount(a.echo.Group("/push"), hub, cfg).WellKnown(a.echo)
	return &target{a.start(), p}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// page asks for a page of history as the bearer of a token, under /push.
func (x *target) page(path string, headers ...string) *http.Response {
	x.t.Helper()
	return x.get("/push"+path, append([]string{ownHost}, headers...)...).Response
}

func (x *target) send(method, path, body string, headers ...string) *http.Response {
	x.t.Helper()
	return x.do(method, "/push"+path, body, append([]string{ownHost}, headers...)...).Response
}

func (x *target) want(status int, what string, res *http.Response) {
	x.t.Helper()
	if res.StatusCode != status {
		x.t.Errorf("%s: %s, want %d", what, res.Status, status)
	}
	if challenge := res.Header.Get("Www-Authenticate"); status == http.StatusUnauthorized && (!strings.HasPrefix(challenge, "Bearer") ||
		!strings.Contains(challenge, `resource_metadata="`+publicURL+`/.well-known/oauth-protected-resource/push"`)) {
		x.t.Errorf("%s: the challenge is %q", what, challenge)
	}
}

// everywhere checks that a token gets 401 wherever it can be shown.
func (x *target) everywhere(what, token string) {
	x.t.Helper()
	x.want(401, what, x.page("/topics/chat/1", bearer(token)))
	x.want(401, what+", publishing", x.send("POST", "/topics/chat/1", "x", bearer(token)))
	x.want(401, what+", EventSource", x.do("GET", "/push/topics/chat/1", "", ownHost, "Accept: text/event-stream", bearer(token)).Response)
	if c, res := x.dial("/push/topics/chat/1", "push.v1", ownHost, bearer(token)); c != nil {
		x.t.Errorf("%s: a WebSocket was opened", what)
	} else {
		x.want(401, what+", WebSocket", res)
	}
}

func TestAttackGoodTokensWork(t *testing.T) {
	x := attacked(t)
	for _, kid := range []string{"rs", "es", "ed"} {
		token := bearer(x.idp.Token(kid, nil, nil))
		x.want(200, kid, x.page("/topics/chat/1", token))
		x.want(201, kid, x.send("POST", "/topics/chat/1", "x", token))
		x.want(200, "the user's own topic", x.page("/topics/users/ann/inbox", token))
		x.want(403, "another topic", x.page("/topics/secret", token))
		x.want(403, "another's topic", x.page("/topics/users/bob/inbox", token))
	}
	x.want(200, "iat 29 s ahead", x.page("/topics/chat/1", bearer(x.idp.Token("rs", map[string]any{"iat": time.Now().Add(29 * time.Second).Unix()}, nil))))
	x.want(200, "aud as a list", x.page("/topics/chat/1", bearer(x.idp.Token("rs", map[string]any{"aud": []string{"x", idp.Audience}}, nil))))
	x.want(200, "typ in full", x.page("/topics/chat/1", bearer(x.idp.Token("rs", nil, map[string]any{"typ": "application/at+jwt"}))))
}

func TestAttackForgedTokens(t *testing.T) {
	x := attacked(t)
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	claims := x.idp.Claims(nil)
	none := part(map[string]any{"alg": "none", "typ": "at+jwt"}) + "." + part(claims) + "."
	good := x.idp.Token("rs", nil, nil)
	parts := strings.Split(good, ".")
	pem, _ := json.Marshal(x.idp.PublicKey("rs"))
	hs := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims))
	hs.Header["kid"], hs.Header["typ"] = "rs", "at+jwt"
	confused, err := hs.SignedString(pem)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"alg=none":                               none,
		"alg=none with a signature":              none + parts[2],
		"alg=NONE":                               part(map[string]any{"alg": "NONE", "typ": "at+jwt"}) + "." + part(claims) + "." + parts[2],
		"a good header, no signature":            parts[0] + "." + parts[1] + ".",
		"HS256 signed with the RSA public key":   confused,
		"the signature of another token":         parts[0] + "." + strings.Split(x.idp.Token("rs", map[string]any{"sub": "bob"}, nil), ".")[1] + "." + parts[2],
		"ID token (typ JWT) as access token":     x.idp.Token("rs", nil, map[string]any{"typ": "JWT"}),
		"no typ":                                 x.idp.Token("rs", nil, map[string]any{"typ": nil}),
		"an ID token's claims":                   x.idp.Token("rs", map[string]any{"nonce": "n"}, nil),
		"wrong aud":                              x.idp.Token("rs", map[string]any{"aud": "https://other.example.com"}, nil),
		"aud that begins like ours":              x.idp.Token("rs", map[string]any{"aud": idp.Audience + "/x"}, nil),
		"no aud":                                 x.idp.Token("rs", map[string]any{"aud": nil}, nil),
		"no exp":                                 x.idp.Token("rs", map[string]any{"exp": nil}, nil),
		"no sub":                                 x.idp.Token("rs", map[string]any{"sub": nil}, nil),
		"no iss":                                 x.idp.Token("rs", map[string]any{"iss": nil}, nil),
		"expired":                                x.idp.Token("rs", map[string]any{"exp": time.Now().Add(-time.Second).Unix()}, nil),
		"not valid yet":                          x.idp.Token("rs", map[string]any{"nbf": time.Now().Add(35 * time.Second).Unix()}, nil),
		"issued in the future":                   x.idp.Token("rs", map[string]any{"iat": time.Now().Add(35 * time.Second).Unix()}, nil),
		"bound to a key of the client":           x.idp.Token("rs", map[string]any{"cnf": map[string]any{"jkt": "x"}}, nil),
		"critical extensions":                    x.idp.Token("rs", nil, map[string]any{"crit": []string{"x"}, "x": 1}),
		"the kid of another kind of key":         x.idp.Token("rs", nil, map[string]any{"kid": "es"}),
		"a token of 1 MiB":                       strings.Repeat("A", 900<<10) + "." + parts[1] + "." + parts[2], // more, and net/http answers 431
		"a token just above the limit":           strings.Repeat("A", 17<<10),
		"no JWT":                                 "opaque",
		"dots":                                   "..",
		"a space in it":                          "a b.c.d",
		"lives longer than revocations are kept": x.idp.Token("rs", map[string]any{"exp": time.Now().Add(25 * time.Hour).Unix()}, nil),
	} {
		x.everywhere(what, token)
	}
	if log := x.log.String(); strings.Contains(log, parts[1]) || strings.Contains(log, parts[2]) || !strings.Contains(log, "kid=rs") {
		t.Errorf("the log: %s", log)
	}
}

func TestAttackIssuerBsKey(t *testing.T) {
	x := attacked(t)
	b := idp.New(t)
	x.everywhere("issuer B's key, iss A", b.Token("es", map[string]any{"iss": x.idp.URL}, nil))
	x.everywhere("issuer B's key, iss B", b.Token("es", nil, nil))
}

func TestAttackKeysInTheHeader(t *testing.T) {
	x := attacked(t)
	asked := 0
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer evil.Close()
	b := idp.New(t)
	for name, v := range map[string]any{
		"jku": evil.URL, "x5u": evil.URL, "jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, "x5c": []string{"AAAA"},
	} {
		x.everywhere(name, b.Token("rs", map[string]any{"iss": x.idp.URL}, map[string]any{name: v}))
		x.everywhere(name+" in a token that is good", x.idp.Token("rs", nil, map[string]any{name: v}))
	}
	if asked != 0 {
		t.Errorf("a header had %d requests made", asked)
	}
}

func TestAttackUnknownKeys(t *testing.T) {
	x := attacked(t)
	x.want(200, "a good token", x.page("/topics/chat/1", bearer(x.idp.Token("rs", nil, nil))))
	before := x.idp.Fetches.Load()
	for i := range 100 {
		x.want(401, "an unknown kid", x.page("/topics/chat/1", bearer(x.idp.Token("es", nil, map[string]any{"kid": fmt.Sprint("kid-", i)}))))
	}
	if n := x.idp.Fetches.Load() - before; n > 1 {
		t.Errorf("100 unknown kids had the keys fetched %d times", n)
	}
}

// ticket is what POST /tickets answered.
type ticket struct {
	Ticket string
	SSEURL string `json:"sse_url"`
	cookie string
}

func (x *target) ticket(body, token string, headers ...string) (tk ticket) {
	x.t.Helper()
	a := x.do("POST", "/push/tickets", body, append(headers, ownHost, bearer(token))...)
	x.decode(x.expect(201, a), &tk)
	for _, c := range a.Cookies() {
		tk.cookie = "Cookie: " + c.Name + "=" + c.Value
	}
	return tk
}

const chat = `{"topics":["chat/1"]}`

func TestAttackTickets(t *testing.T) {
	x := attacked(t)
	token := x.idp.Token("rs", nil, nil)
	tk := x.ticket(chat, token)
	path := "/topics/chat/1?ticket=" + tk.Ticket
	x.want(400, "header and ticket together", x.page(path, bearer(token)))
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 50 {
		all.Go(func() {
			if x.page(path).StatusCode == http.StatusOK {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if won != 1 {
		t.Errorf("one ticket raced by 50: %d succeeded", won)
	}
	x.want(401, "spent ticket without the cookie", x.page(path))
	bob := x.ticket(chat, x.idp.Token("rs", map[string]any{"sub": "bob"}, nil), "Origin: "+publicURL)
	if bob.cookie == "" {
		t.Fatal("bob's browser got no cookie")
	}
	x.want(200, "bob's cookie is good", x.page("/topics/chat/1?ticket="+bob.Ticket, "Origin: "+publicURL))
	x.want(200, "with bob's spent ticket, too", x.page("/topics/chat/1?ticket="+bob.Ticket, "Origin: "+publicURL, bob.cookie))
	x.want(401, "spent ticket with the wrong cookie", x.page(path, bob.cookie))
	x.want(403, "ticket for a topic outside the token", x.send("POST", "/tickets", `{"topics":["chat/1","secret"]}`, bearer(token)))
}

func TestAttackCredentials(t *testing.T) {
	x := attacked(t, func(_ *middleware.OIDCConfig, cfg *middleware.Config) { cfg.Cookies = true })
	token := x.idp.Token("rs", nil, nil)
	x.want(401, "bad bearer and good cookie", x.page("/topics/chat/1", bearer("x.y.z"), "Cookie: session=good", "Origin: "+publicURL))
	x.want(400, "?access_token=", x.page("/topics/chat/1?access_token="+token))
	x.want(400, "?access_token= with a header", x.page("/topics/chat/1?access_token="+token, bearer(token)))
	x.want(403, "cookie POST without Origin", x.send("POST", "/topics/chat/1", "x", "Cookie: session=good"))
	if strings.Contains(x.log.String(), token) {
		t.Error("the log has the token")
	}
}

func TestAttackOrigins(t *testing.T) {
	x := attacked(t, func(_ *middleware.OIDCConfig, cfg *middleware.Config) { cfg.Cookies = true })
	for what, headers := range map[string][]string{
		"foreign Origin and cookie": {"Origin: https://evil.example", "Cookie: session=good"}, "foreign Origin and nothing": {"Origin: https://evil.example"},
		"Origin null": {"Origin: null"}, "http downgrade": {"Origin: http://app.example.com"}, "a longer name": {"Origin: https://app.example.com.evil"},
	} {
		c, res := x.dial("/push/topics/chat/1", "push.v1", append(headers, ownHost)...)
		if c != nil {
			t.Errorf("%s: 101", what)
		}
		x.want(403, what+", WebSocket", res)
		x.want(403, what+", GET", x.page("/topics/chat/1", headers...))
		x.want(403, what+", POST", x.send("POST", "/topics/chat/1", "x", headers...))
	}
	for _, path := range []string{"/push/topics/chat/1", "/.well-known/oauth-protected-resource/push"} {
		a := x.get(path, "Host: evil.example", "Origin: https://evil.example", bearer(x.idp.Token("rs", nil, nil)))
		x.want(421, "Host = Origin = evil, "+path, a.Response)
	}
}

func TestAttackTopics(t *testing.T) {
	x := attacked(t)
	token := bearer(x.idp.Token("rs", nil, nil))
	for _, path := range []string{"chat%252F..%252Fsecret", "chat%2Fsecret", "chat/../secret", "chat/%2e%2e/secret", "chat/./1", "chat/%00", "chat//1"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque, req.Host = "/push/topics/"+path, "api.example.com" // as it is, not cleaned
		req.Header.Set("Authorization", strings.TrimPrefix(token, "Authorization: "))
		req.Header.Set("Accept", "application/json")
		res, err := x.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		x.want(400, path, res)
	}
	for _, sub := range []string{"**", "*", "bob/**", "{sub}", "..", "$push", "a/b", "bo\u0000b"} {
		star := bearer(x.idp.Token("rs", map[string]any{"sub": sub}, nil))
		x.want(403, "sub = "+sub, x.page("/topics/users/bob/inbox", star))
		x.want(403, "sub = "+sub+", a pattern", x.page("/events?topic=users/**", star))
	}
	for _, name := range []string{"a\rb", "a\nb", "a\r\rb", "a\x00b"} { // Go's own client would not send them
		raw := x.raw("POST /push/topics/chat/1 HTTP/1.1\r\n" + ownHost + "\r\n" + token + "\r\nPush-Event: " + name + "\r\nContent-Length: 1\r\n\r\nx")
		if !strings.HasPrefix(raw, "HTTP/1.1 400") {
			t.Errorf("Push-Event %q: %q", name, raw)
		}
	}
	var open wire.OpenData
	if err := json.Unmarshal(x.open("/push/topics/chat/1", ownHost, token).expect("push.open").Data, &open); err != nil {
		t.Fatal(err)
	}
	x.want(400, "CR and LF in the event of a message", x.send("POST", "/connections/"+open.Connection+"/messages",
		`{"action":"publish","topic":"chat/1","event":"a\r\nid: 1","data":1}`, token))
}

// raw sends bytes and returns the first line of the answer.
func (x *target) raw(request string) string {
	x.t.Helper()
	c, err := net.Dial("tcp", x.Listener.Addr().String())
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = c.Write([]byte(request))
	line, _ := bufio.NewReader(c).ReadString('\n')
	return line
}

func TestAttackOtherSubjects(t *testing.T) {
	x := attacked(t)
	ann, bob := bearer(x.idp.Token("rs", nil, nil)), bearer(x.idp.Token("rs", map[string]any{"sub": "bob"}, nil))
	es := x.open("/push/topics/chat/1", ownHost, ann)
	var open wire.OpenData
	if err := json.Unmarshal(es.expect("push.open").Data, &open); err != nil {
		t.Fatal(err)
	}
	cid := open.Connection
	x.want(404, "another subject reads a connection's topics", x.page("/connections/"+cid+"/subscriptions", bob))
	x.want(404, "another subject sends messages", x.send("POST", "/connections/"+cid+"/messages", `{"action":"subscribe","topics":["chat/2"]}`, bob))
	x.want(404, "another subject closes", x.send("DELETE", "/connections/"+cid, "", bob))
	x.want(403, "another subject swaps credentials", x.send("PUT", "/connections/"+cid+"/credentials", "", bob))
	x.want(200, "its own", x.page("/connections/"+cid+"/subscriptions", ann))
}

func TestAttackTokenExpiresMidStream(t *testing.T) {
	x := attacked(t)
	end := time.Now().Add(2 * time.Second).Truncate(time.Second).Add(time.Second)
	token := bearer(x.idp.Token("rs", map[string]any{"exp": end.Unix()}, nil))
	es := x.follow("/push/topics/chat/1", ownHost, token)
	c, res := x.dial("/push/topics/chat/1", "push.v1", ownHost, token)
	if c == nil {
		t.Fatal(res.Status)
	}
	code := make(chan int, 1)
	go func() { code <- c.closed() }()
	es.expect("push.expiring")
	if e := es.expect("push.close"); !strings.Contains(string(e.Data), `"code":3000`) {
		t.Errorf("push.close %s", e.Data)
	}
	if got := <-code; got != push.CloseUnauthorized {
		t.Errorf("the WebSocket closed with %d", got)
	}
	if late := time.Since(end); late < 0 || late > time.Second {
		t.Errorf("the streams ended %v after exp", late)
	}
	x.want(401, "the token afterwards", x.page("/topics/chat/1", token))
}

func TestAttackRevokedOnAnotherNode(t *testing.T) {
	p, broker := idp.New(t), push.NewMemory()
	a := attackedOver(t, p, push.NewHub(struct{ push.Broker }{broker}))
	b := attackedOver(t, p, push.NewHub(struct{ push.Broker }{broker}))
	for _, node := range []*target{a, b} {
		for end := time.Now().Add(10 * time.Second); node.hub.Ready() != nil && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	ann, admin := bearer(p.Token("rs", nil, nil)), bearer(p.Token("rs", map[string]any{"sub": "root", "scope": "admin"}, nil))
	es := b.follow("/push/topics/chat/1", ownHost, ann)
	start := time.Now()
	a.want(403, "who may not", a.send("POST", "/revocations", `{"sub":"ann"}`, ann))
	a.want(204, "POST /revocations", a.send("POST", "/revocations", `{"sub":"ann"}`, admin))
	if e := es.expect("push.close"); !strings.Contains(string(e.Data), `"code":3003`) {
		t.Errorf("node B said %s %s", e.Name, e.Data)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("it took %v", d)
	}
	b.want(401, "reconnect at B", b.page("/topics/chat/1", ann))
	a.want(401, "reconnect at A", a.page("/topics/chat/1", ann))
}
