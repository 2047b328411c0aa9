package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// SubscriptionsPatch is the body of PATCH …/subscriptions.
type SubscriptionsPatch struct {
	Add    []string `json:"add"`
	Remove []string `json:"remove"`
}

func (q *request) getSubscriptions(c *conn) error {
	return q.writeSubscriptions(SubscribeResult{Topics: c.sub.Topics(), Position: c.sub.Position()})
}

func (q *request) writeSubscriptions(res SubscribeResult) error {
	q.w.Header().Set("Etag", topicsTag(res.Topics))
	return writeJSON(q.w, http.StatusOK, res)
}

func topicsTag(topics []string) string {
	sum := sha256.Sum256([]byte(strings.Join(topics, "\n")))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`
}

func (q *request) patchSubscriptions(c *conn) error {
	var patch SubscriptionsPatch
	if p := q.readJSON(&patch); p != nil {
		return p
	}
	at, p := c.update(q.r.Context(), q.who, patch.Add, patch.Remove, q.r.Header.Get("If-Match"))
	if p != nil {
		return p
	}
	return q.writeSubscriptions(SubscribeResult{Topics: c.sub.Topics(), Position: at})
}

// postMessage does what the same JSON does as a WebSocket frame.
func (q *request) postMessage(c *conn) error {
	body, p := q.readBody()
	if p != nil {
		return p
	}
	a, p := parseAction(body)
	if p != nil {
		return p
	}
	var res any
	var err error
	if q.token != nil && a.Kind == ws.Credentials {
		res, err = c.replace(q.r.Context(), q.token)
	} else {
		res, err = c.do(q.r.Context(), q.who, a)
	}
	if err != nil {
		return err
	}
	return writeJSON(q.w, http.StatusOK, res)
}

func parseAction(body []byte) (*ws.Action, *Problem) {
	if p := checkUTF8(body); p != nil {
		return nil, p
	}
	a, err := ws.ParseAction(body)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "%s", err)
	}
	return a, nil
}

func (q *request) deleteConnection(c *conn) error {
	c.sub.Disconnect(&push.CloseError{Code: push.CloseForbidden, Reason: "closed by its client"})
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// readJSON reads a small JSON body without members that are not known.
func (q *request) readJSON(v any) *Problem {
	body, p := q.readBody()
	if p != nil {
		return p
	}
	return parseJSON(body, v)
}

// checkUTF8 refuses what encoding/json would make something else of: another
// topic, another subject.
func checkUTF8(body []byte) *Problem {
	if !utf8.Valid(body) {
		return problemf(http.StatusBadRequest, "the body is not UTF-8, as JSON has to be")
	}
	return nil
}

func parseJSON(body []byte, v any) *Problem {
	if p := checkUTF8(body); p != nil {
		return p
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil && dec.Decode(new(any)) != io.EOF {
		err = errors.New("something follows it")
	}
	if err != nil {
		return problemf(http.StatusBadRequest, "the body is not the JSON that is expected: %s", err)
	}
	return nil
}
