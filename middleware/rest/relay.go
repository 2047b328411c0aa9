package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// relayTime is how long another node has to answer.
const relayTime = 3 * time.Second

// question is a request about a connection of another node, which does all of it
// but finding out who asks. No credential travels: who has been verified.
type question struct {
	Op         string           `json:"op"` // operation.id
	Connection string           `json:"connection"`
	IfMatch    string           `json:"if_match,omitempty"`
	Body       []byte           `json:"body,omitempty"`
	Who        storedPrincipal  `json:"who"`
	Token      *storedPrincipal `json:"token,omitempty"` // whom the token in the body stood for
	IP         netip.Addr       `json:"ip"`
}

// reply is the answer: a response, or the problem that the request failed with.
type reply struct {
	Status  int         `json:"status"`
	Header  http.Header `json:"header"`
	Body    []byte      `json:"body,omitempty"`
	Problem *Problem    `json:"problem,omitempty"`
}

// relay has the request served by the node whose connection it is about, if
// that is another one and lives.
func (q *request) relay() error {
	n, name := q.node, nodeOf(q.arg)
	if !n.isOthers(q.arg) {
		return noConnection()
	}
	if p := q.limits.message(q.caller(), 1); p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(q.r.Context(), relayTime)
	defer cancel()
	ok, err := n.lives(ctx, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return noConnection()
	}
	ask, err := q.question()
	if err != nil {
		return err
	}
	var r reply
	if err := n.ask(ctx, name, ask, &r); err != nil {
		return noReply(q.r.Context(), err)
	}
	if r.Problem != nil {
		r.Problem.Header = r.Header
		return r.Problem
	}
	return r.write(q.w)
}

// noReply is the error of a request that another node has not answered.
func noReply(client context.Context, err error) error {
	if client.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return hubError(err)
	}
	p := problemf(http.StatusServiceUnavailable,
		"the server that has this connection does not answer: what you asked for may have been done or not").retryAfter(time.Second)
	p.Err = err
	return p
}

func (q *request) question() (*question, error) {
	ask := &question{
		Op: q.op.id, Connection: q.arg, IfMatch: q.r.Header.Get("If-Match"), Who: storedPrincipal(*q.who), IP: q.ip,
	}
	if len(q.op.takes) == 0 {
		return ask, nil
	}
	body, p := q.readBody()
	if p != nil {
		return nil, p
	}
	ask.Body = body
	if q.op.id != sendMessage {
		return ask, nil
	}
	return ask, q.verifyIn(ask)
}

// verifyIn replaces a token in a message by whom it stands for.
func (q *request) verifyIn(ask *question) error {
	a, p := parseAction(ask.Body)
	if p != nil {
		return p
	}
	if a.Kind != ws.Credentials {
		return nil
	}
	who, err := q.verify(q.r.Context(), a.Token, q.r.RemoteAddr, q.ip)
	if err != nil {
		return err
	}
	token := storedPrincipal(*who)
	ask.Token, ask.Body = &token, []byte(`{"action":"credentials","token":"verified"}`)
	return nil
}

// ask sends a question to another node, and waits for its reply.
func (n *node) ask(ctx context.Context, to string, ask *question, r *reply) error {
	if err := n.listen(); err != nil {
		return err
	}
	parcel := push.NewConnectionID()
	answer := n.await(parcel)
	defer n.forget(parcel)
	parts, err := n.putParcel(ctx, questionKeys+parcel, ask)
	if err != nil {
		return err
	}
	if err := n.h.tell(ctx, note{To: to, From: n.name, Parcel: parcel, Parts: parts}); err != nil {
		return err
	}
	select {
	case parts := <-answer:
		return n.takeParcel(ctx, answerKeys+parcel, parts, r)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serve answers a question of another node.
func (n *node) serve(v note) {
	defer func() { <-n.busy }()
	ctx, cancel := context.WithTimeout(context.Background(), relayTime)
	defer cancel()
	if err := n.reply(ctx, v); err != nil && !errors.Is(err, push.ErrClosed) {
		n.h.cfg.Logger.Warn("push: another node's question could not be answered", "err", err)
	}
}

func (n *node) reply(ctx context.Context, v note) error {
	var ask question
	if err := n.takeParcel(ctx, questionKeys+v.Parcel, v.Parts, &ask); err != nil {
		return err
	}
	r := n.h.carryOut(ctx, &ask)
	parts, err := n.putParcel(ctx, answerKeys+v.Parcel, r)
	if err != nil {
		return err
	}
	return n.h.tell(ctx, note{To: v.From, From: n.name, Parcel: v.Parcel, Parts: parts, Answer: true})
}

// carryOut serves a request as if it had come here.
func (h *Handler) carryOut(ctx context.Context, ask *question) (r *reply) {
	w := &recorder{header: http.Header{}}
	defer func() {
		if v := recover(); v != nil { // of the application's own rules and handlers
			h.cfg.Logger.Error("push: panic", "doing", ask.Op, "err", v, "stack", string(debug.Stack()))
			r = problemReply(AsProblem(fmt.Errorf("panic: %v", v)))
		}
	}()
	op := connectionOperation(ask.Op)
	if op == nil {
		return problemReply(noConnection())
	}
	req, err := http.NewRequestWithContext(ctx, op.method, "/", bytes.NewReader(ask.Body))
	if err != nil {
		return problemReply(AsProblem(err))
	}
	req.Header.Set("If-Match", ask.IfMatch)
	who := Principal(ask.Who)
	q := &request{Handler: h, w: w, r: req, op: op, who: &who, ip: ask.IP, arg: ask.Connection, token: (*Principal)(ask.Token)}
	if err := op.serve(q); err != nil {
		p := AsProblem(err)
		h.logProblem(ctx, p, op.method)
		return problemReply(p)
	}
	return &reply{Status: w.status, Header: w.header, Body: w.body.Bytes()}
}

func connectionOperation(id string) *operation {
	for _, res := range connectionResources() {
		for i := range res.ops {
			if res.ops[i].id == id {
				return &res.ops[i]
			}
		}
	}
	return nil
}

func problemReply(p *Problem) *reply { return &reply{Problem: p, Header: p.Header} }

func (r *reply) write(w http.ResponseWriter) error {
	maps.Copy(w.Header(), r.Header)
	w.WriteHeader(r.Status)
	_, _ = io.Copy(w, bytes.NewReader(r.Body)) // the client is gone
	return nil
}

// recorder keeps a response.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
