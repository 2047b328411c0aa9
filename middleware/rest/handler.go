package rest

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/dualpush-go/dualpush/push"
)

// Handler serves a mount. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	hub     *push.Hub
	routes  []resource
	origins *originPolicy
	proxies proxies
	limits  *limiter
	conns   connections
	node    *node // nil if there are no requests about connections
	idem    idemKeys
	revoked revocations

	presence *presence // nil if it is on nowhere

	resource ProtectedResource // Auth, if it is one
	anybody  bool              // is let in: Auth looks at no credential

	untrusted sync.Once // a proxy in front was logged
}

var _ http.Handler = (*Handler)(nil)

// ServeHTTP serves a request under Config.Prefix.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.Serve(w, r, h.cfg.Prefix); err != nil {
		AsProblem(err).Write(w)
	}
}

// Serve serves a request under a prefix in its escaped form; frameworks whose
// prefixes have parameters use it. An error has not been written yet and goes
// to the client as AsProblem says; it is never returned once the answer has
// begun.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, prefix string) error {
	q := &request{Handler: h, w: w, r: Redact(r), prefix: prefix, ip: h.proxies.clientIP(r)}
	return q.end(q.serve())
}

// end is the last step of a request. A stream begins here, with nothing on the
// stack of what opened it: together with net/http's frames that would need more than
// 8 KB, and a stack doubles.
func (q *request) end(err error) error {
	if q.opening != nil {
		err = q.begin()
	}
	return q.logged(err)
}

// logged turns an error into a problem, and logs those that are the server's.
// A client that left and a drain are none.
func (q *request) logged(err error) error {
	if err == nil {
		return nil
	}
	p := q.challenge(AsProblem(err))
	left := errors.Is(err, context.Canceled) && q.r.Context().Err() != nil
	_, planned := errors.AsType[*push.CloseError](err)
	if !left && !planned {
		q.logRefused(q.r.Context(), p, q.asker())
		q.logProblem(q.r.Context(), p, q.r.Method)
	}
	return p
}

// logProblem logs what the client is not told: the causes of failures, and why
// an inbound handler refused an event without a word for the client.
func (h *Handler) logProblem(ctx context.Context, p *Problem, doing string) {
	refused, ok := errors.AsType[*push.RefusedError](p.Err)
	switch {
	case ok && refused.Err != nil:
		h.cfg.Logger.WarnContext(ctx, "push: an inbound handler failed, and the event was refused", "err", refused.Err)
	case p.Status >= http.StatusInternalServerError && p.Err != nil:
		h.cfg.Logger.ErrorContext(ctx, "push: request failed", "doing", doing, "status", p.Status, "detail", p.Detail, "err", p.Err)
	}
}

// request is one request on its way through the handler.
type request struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	prefix string
	who    *Principal // nil for an operation that is open
	ip     netip.Addr // of the client
	topic  string     // of the path, canonical
	arg    string     // another variable of the path, escaped

	op      *operation
	opening *opening   // a stream that is to begin
	claimed *Principal // whose credential it is that does not hold, for logs
	token   *Principal // whom the token in the body stands for, if another node has verified it
	hidden  bool       // the credential is where a page puts it that cannot see the status of an upgrade
	unspent string     // fingerprint of the ticket that the request came with, if it is new
}

const vary = "Accept, Prefer, Sec-Fetch-Dest, Authorization, Cookie, Origin"

func (q *request) serve() error {
	q.w.Header().Add("Vary", vary)
	q.w.Header().Set("X-Content-Type-Options", "nosniff")
	if p := q.origins.checkHost(q.r); p != nil {
		return p
	}
	q.origins.cors(q.w.Header(), q.r)
	if secretsOf(q.r).token {
		return q.tokenInURL()
	}
	path, ok := strings.CutPrefix(q.r.URL.EscapedPath(), q.prefix)
	if !ok {
		return q.notFound()
	}
	res, err := q.route(path)
	if err != nil {
		return err
	}
	if q.r.Method == http.MethodOptions {
		return q.options(res)
	}
	q.op = res.operation(q.r.Method)
	if q.op == nil {
		return problemf(http.StatusMethodNotAllowed, "%s is not possible here", q.r.Method).with("Allow", res.allow())
	}
	if !q.op.open {
		if err := q.authenticate(res); q.who == nil {
			return err
		}
	}
	return q.op.serve(q)
}

// caller returns whom the limits of this request are about.
func (q *request) caller() caller { return caller{q.who.key(), addressKey(q.ip)} }

func (q *request) options(res *resource) error {
	q.w.Header().Set("Allow", res.allow())
	q.origins.preflight(q.w.Header(), res.allow())
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
