package rest

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

// A ticket is a short-lived credential for what cannot send a header:
// EventSource, WebSocket. It works once, and then again only next to a resume
// cookie that the subject's browser got here: so a URL that was logged is of no
// use. It is not bound to one cookie: two tickets that a page fetches at the same
// time set two, and the browser keeps the one that comes last.
const (
	ticketLife    = 30 * time.Second
	secretBytes   = 32
	ticketPrefix  = "ticket/"
	resumePrefix  = "resume/"
	browserPrefix = "browser/"
)

// ResumeCookie is the name of the cookie that lets a browser's streams
// reconnect.
const ResumeCookie = "__Secure-push-resume"

func newSecret() string {
	var raw [secretBytes]byte
	_, _ = rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func isSecret(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == secretBytes
}

// pass is what a ticket stands for, as it is stored.
type pass struct {
	Who     storedPrincipal `json:"who"`
	Origin  string          `json:"origin"`            // the one that it works with; "" until a browser uses it
	Backend bool            `json:"backend,omitempty"` // it was no browser that fetched it
	Until   time.Time       `json:"until"`             // of the ticket itself
}

// storedPrincipal has the members of Principal, with times in full.
type storedPrincipal struct {
	Subject  string         `json:"sub"`
	Grants   []push.Grant   `json:"grants"`
	Expires  time.Time      `json:"exp,omitzero"`
	IssuedAt time.Time      `json:"iat,omitzero"`
	Issuer   string         `json:"iss,omitempty"`
	Session  string         `json:"sid,omitempty"`
	TokenID  string         `json:"jti,omitempty"`
	KeyID    string         `json:"kid,omitempty"`
	Claims   map[string]any `json:"claims,omitempty"`
}

// TicketRequest is the body of POST /tickets.
type TicketRequest struct {
	Topics  []string      `json:"topics"`            // topics and patterns
	Actions []push.Action `json:"actions,omitempty"` // default: sub
}

// TicketResult is the answer to POST /tickets.
type TicketResult struct {
	Ticket      string   `json:"ticket"`
	ExpiresIn   int      `json:"expires_in"` // seconds
	SSEURL      string   `json:"sse_url"`
	WSURL       string   `json:"ws_url"`
	WSProtocols []string `json:"ws_protocols"`
}

// postTicket answers POST /tickets.
func (q *request) postTicket() error {
	if q.who.Subject == "" {
		return problemf(http.StatusForbidden, "a ticket is for who is signed in; here everybody may open the stream as it is")
	}
	var ask TicketRequest
	if p := q.readJSON(&ask); p != nil {
		return p
	}
	grants, p := q.ticketGrants(&ask)
	if p == nil {
		p = q.limits.ticket(q.caller())
	}
	if p != nil {
		return p
	}
	who := *q.who
	who.Grants = grants
	t := pass{Who: storedPrincipal(who), Origin: q.ownOrigin(), Backend: !isBrowser(q.r), Until: time.Now().Add(ticketLife)}
	if !t.Backend {
		if err := q.giveCookie(q.who); err != nil {
			return err
		}
	}
	ticket := newSecret()
	if err := q.put(ticketPrefix+fingerprint(ticket), &t, ticketLife+poll.MaxWait+writeGrace); err != nil { // a poll takes it at its end
		return err
	}
	return writeJSON(q.w, http.StatusCreated, q.ticketResult(ticket, ask.Topics))
}

// ticketGrants returns what a ticket is to allow, if all of it is allowed.
func (q *request) ticketGrants(ask *TicketRequest) (grants []push.Grant, p *Problem) {
	if len(ask.Topics) == 0 {
		return nil, problemf(http.StatusBadRequest, "topics: name at least one topic or pattern")
	}
	if p := q.checkTopics(ask.Topics); p != nil {
		return nil, p
	}
	if len(ask.Actions) == 0 {
		ask.Actions = []push.Action{push.ActionSub}
	}
	for _, action := range ask.Actions {
		if actionNames[action] == "" || action == push.ActionManage {
			return nil, problemf(http.StatusBadRequest, "actions: sub, pub, history and presence are possible, not %q", action)
		}
		if p := q.may(q.r.Context(), q.who, action, ask.Topics...); p != nil {
			return nil, p
		}
		for _, topic := range ask.Topics {
			action, of := presenceAction(action, topic)
			grants = append(grants, push.Grant{Action: action, Pattern: of})
		}
	}
	return grants, nil
}

// ticketResult says where a ticket is good for. Without a PublicURL the URLs
// are relative to the page's own.
func (q *request) ticketResult(ticket string, topics []string) TicketResult {
	path := q.prefix + "/events?"
	if len(topics) == 1 && !push.IsPattern(topics[0]) {
		path = q.topicPath(topics[0]) + "?"
	} else {
		path += url.Values{"topic": topics}.Encode() + "&"
	}
	base := q.origins.public
	return TicketResult{
		Ticket: ticket, ExpiresIn: int(ticketLife / time.Second),
		SSEURL:      base + path + ticketParam + "=" + ticket,
		WSURL:       strings.Replace(base, "http", "ws", 1) + path[:len(path)-1],
		WSProtocols: []string{"push.v1", ticketProtocol + ticket},
	}
}

// isBrowser reports whether a browser sent the request: they add what no script
// of theirs can take away.
func isBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

// ownOrigin returns the origin of the page that sent the request, as its
// browser says, or "" if nobody says.
func (q *request) ownOrigin() string {
	switch origin := q.r.Header.Get("Origin"); {
	case origin != "" && q.origins.sameOrigin(q.r, origin):
		return ownPages
	case origin != "":
		return origin
	case q.r.Header.Get("Sec-Fetch-Site") == "same-origin":
		return ownPages
	}
	return ""
}

// ownPages stands for the mount's own origin: EventSource does not send it.
const ownPages = "self"

// giveCookie sees to it that the browser has a resume cookie of who's: the one
// that it has, if the same subject got it here, or a new one.
func (q *request) giveCookie(who *Principal) error {
	cookie, until, err := q.resumeCookie(who)
	if err != nil {
		return err
	}
	if cookie == "" {
		cookie = newSecret()
		http.SetCookie(q.w, &http.Cookie{
			Name: ResumeCookie, Value: cookie, Path: q.cookiePath(), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	if mine := time.Now().Add(q.resumeTime(who)); mine.After(until) { // never shorter: older tickets live by it, too
		until = mine
	}
	owner := strconv.AppendInt([]byte(who.owner()+" "), until.Unix(), 10)
	return asHubError(q.hub.Store().Set(q.r.Context(), browserPrefix+fingerprint(cookie), owner, time.Until(until)))
}

// maxResumeCookies bounds how many cookies of the name are looked at.
const maxResumeCookies = 8

// resumeCookie returns the cookie that the browser got here as who, and until
// when it is good; "" if the request has none. There may be more than one of the
// name: what a neighbouring subdomain has planted stands beside ours, and may
// come first.
func (q *request) resumeCookie(who *Principal) (cookie string, until time.Time, err error) {
	all := q.r.CookiesNamed(ResumeCookie)
	for _, c := range all[:min(len(all), maxResumeCookies)] {
		if !isSecret(c.Value) {
			continue
		}
		owner, ok, err := q.hub.Store().Get(q.r.Context(), browserPrefix+fingerprint(c.Value))
		if err != nil {
			return "", until, hubError(err)
		}
		name, at, _ := strings.Cut(string(owner), " ")
		if seconds, err := strconv.ParseInt(at, 10, 64); ok && err == nil && name == who.owner() {
			return c.Value, time.Unix(seconds, 0), nil
		}
	}
	return "", until, nil
}

// owner names the subject to which a cookie belongs.
func (p *Principal) owner() string { return fingerprint(p.Issuer + "\x00" + p.Subject) }

func (q *request) cookiePath() string {
	if q.prefix == "" {
		return "/"
	}
	return q.prefix
}

func asHubError(err error) error {
	if err == nil {
		return nil
	}
	return hubError(err)
}

// resumeTime is how long a ticket that was used can be used again.
func (h *Handler) resumeTime(who *Principal) time.Duration {
	if who.Expires.IsZero() {
		return h.cfg.MaxTokenLife
	}
	return max(time.Until(who.Expires), time.Second)
}

// put stores a pass.
func (q *request) put(key string, t *pass, ttl time.Duration) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if n := len(data); n > push.MaxStoreValue {
		return problemf(http.StatusBadRequest,
			"the topics, actions and claims of this ticket have %d bytes, at most %d are possible: name fewer topics, or patterns", n, push.MaxStoreValue)
	}
	return asHubError(q.hub.Store().Set(q.r.Context(), key, data, ttl))
}

// getPass reads a pass, or nil.
func (q *request) getPass(key string) (*pass, error) {
	data, ok, err := q.hub.Store().Get(q.r.Context(), key)
	if err != nil {
		return nil, hubError(err)
	}
	if !ok {
		return nil, nil //nolint:nilnil // as the comment says
	}
	var t pass
	return &t, json.Unmarshal(data, &t)
}

// noTicket does not tell one that never was from one that is spent or not the
// caller's to use.
func noTicket() error {
	return InvalidToken("the ticket is not valid, or not any more: fetch a new one", nil)
}

// redeem returns whom a ticket stands for. It spends nothing: see spend.
func (q *request) redeem(ticket string) (*Principal, error) {
	if !isSecret(ticket) {
		return nil, noTicket()
	}
	name := fingerprint(ticket)
	t, err := q.getPass(ticketPrefix + name)
	if err != nil {
		return nil, err
	}
	if t != nil && time.Now().Before(t.Until) {
		q.unspent = name
	} else if t, err = q.resumed(name); err != nil {
		return nil, err
	}
	who := Principal(t.Who)
	q.claimed = &who
	if t.Origin != "" && t.Origin != q.ownOrigin() {
		return nil, problemf(http.StatusForbidden, "the ticket was fetched by a page of another origin")
	}
	return &who, q.holds(&who)
}

// resumed returns what a ticket that is spent stands for, if the request has the
// cookie.
func (q *request) resumed(name string) (*pass, error) {
	t, err := q.getPass(resumePrefix + name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, noTicket()
	}
	who := Principal(t.Who)
	q.claimed = &who
	if cookie, _, err := q.resumeCookie(&who); err != nil || cookie == "" {
		return nil, cmp.Or(err, noTicket())
	}
	return t, nil
}

// give writes an answer that may need a ticket. All of them are given here, when
// nothing but the network can fail any more: whatever is refused before spends
// no ticket.
func (q *request) give(write func() error) error {
	if err := q.spend(); err != nil {
		return err
	}
	return write()
}

// spend spends the ticket that the request came with. Of many requests with one
// ticket one can; the others need the resume cookie.
func (q *request) spend() error {
	if q.unspent == "" || q.r.Method == http.MethodHead {
		return nil
	}
	name := q.unspent
	q.unspent = ""
	data, ok, err := q.hub.Store().Take(q.r.Context(), ticketPrefix+name)
	if err != nil {
		return hubError(err)
	}
	if !ok { // somebody was faster
		_, err := q.resumed(name)
		return err
	}
	var t pass
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	who := Principal(t.Who)
	if t.Backend { // this is the first that we see of the browser
		if err := q.giveCookie(&who); err != nil {
			return err
		}
		t.Origin = q.ownOrigin()
	}
	return q.put(resumePrefix+name, &t, q.resumeTime(&who))
}
