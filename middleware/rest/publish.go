package rest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// publish answers POST /topics/{topic}.
func (q *request) publish() error {
	topic := q.topic
	if p := q.mayPublish(q.r.Context(), q.who, topic); p != nil {
		return p
	}
	if p := q.limits.message(q.caller(), 1); p != nil {
		return p
	}
	e, p := q.readEvent(topic)
	if p != nil {
		return p
	}
	key, p := q.idempotencyKey()
	if p != nil {
		return p
	}
	s := submission{event: *e, key: key}
	q.submit(q.r.Context(), q.who, q.ownConnection(), q.idemScope(), &s)
	id, err := s.result()
	if err != nil {
		return err
	}
	q.w.Header().Set("Location", q.location(topic, id))
	return writeJSON(q.w, http.StatusCreated, PublishResult{id})
}

// PublishResult is the answer to a published event.
type PublishResult struct {
	ID push.ID `json:"id"`
}

func (q *request) location(topic string, id push.ID) string {
	return q.topicPath(topic) + "?id=" + id.String()
}

// topicPath is the path of a topic.
func (q *request) topicPath(topic string) string {
	var path strings.Builder
	path.WriteString(q.prefix + "/topics")
	for seg := range strings.SplitSeq(topic, "/") {
		path.WriteString("/" + url.PathEscape(seg))
	}
	return path.String()
}

func (q *request) readEvent(topic string) (*push.Event, *Problem) {
	if enc := q.r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, problemf(http.StatusUnsupportedMediaType, "content encoding %q: send the body as it is", enc).with("Accept-Encoding", "identity")
	}
	e := &push.Event{
		Topic: topic, ContentType: q.r.Header.Get("Content-Type"),
		Name: q.r.Header.Get("Push-Event"), Key: q.r.Header.Get("Push-Key"),
	}
	if e.ContentType != "" {
		if t, _, err := mime.ParseMediaType(e.ContentType); err != nil || !strings.Contains(t, "/") {
			return nil, problemf(http.StatusUnsupportedMediaType, "content type %q is no media type", e.ContentType)
		}
	}
	body, p := q.readBody()
	if p != nil {
		return nil, p
	}
	e.Data = body
	return e, nil
}

// bodyTime is how long a client may take to send a body that is small.
const bodyTime = 30 * time.Second

// boundBody ends a request whose body drips, unless the server's own
// ReadTimeout does. net/http lifts the bound itself when the body ends.
func (q *request) boundBody() {
	server, _ := q.r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil || server.ReadTimeout == 0 {
		_ = http.NewResponseController(q.w).SetReadDeadline(time.Now().Add(bodyTime)) // a wrapper may not offer it
	}
}

// readBody reads a body of the size of a message.
func (q *request) readBody() ([]byte, *Problem) { return q.readUpTo(q.cfg.MaxMessage) }

func (q *request) readUpTo(most int64) ([]byte, *Problem) {
	q.boundBody()
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, most))
	if err == nil {
		return body, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, problemf(http.StatusRequestTimeout, "the body did not come in time")
	}
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, AsProblem(tooLong)
	}
	p := problemf(http.StatusBadRequest, "the body could not be read")
	p.Err = err
	return nil, p
}

func (q *request) idempotencyKey() (string, *Problem) {
	key := q.r.Header.Get("Idempotency-Key")
	if len(key) > push.MaxKeyLen {
		return "", problemf(http.StatusBadRequest, "Idempotency-Key has %d bytes, at most %d are allowed", len(key), push.MaxKeyLen)
	}
	return key, nil
}

// connectionHeader names the connection that a request belongs to.
const connectionHeader = "Push-Connection"

// ownConnection returns the connection that the request names, if it is on this
// node and its client's own to name.
func (q *request) ownConnection() string {
	cid := q.r.Header.Get(connectionHeader)
	if cid == "" || q.conns.find(cid, q.who) == nil {
		return ""
	}
	return cid
}

// idemScope says whose idempotency keys these are. An anonymous visitor's are
// those of its connection or, without one, of its address. Of a connection that
// is on another node the name is enough: nobody else knows it.
func (q *request) idemScope() string {
	cid := q.r.Header.Get(connectionHeader)
	switch {
	case q.who.Subject != "":
		return "subject " + q.who.key()
	case q.ownConnection() != "", q.node.isOthers(cid):
		return "connection " + cid
	}
	return "address " + q.ip.String()
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone
	return nil
}
