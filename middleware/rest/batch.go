package rest

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// maxBatch is how many events a batch has at most, and maxBatchBody its bytes,
// unless one message can have more.
const (
	maxBatch     = 100
	maxBatchBody = 1 << 20
)

// Batch is the body of POST /batch: events as a publish action has them, in
// the order in which they are to be published.
type Batch struct {
	Events []json.RawMessage `json:"events"`
}

// BatchResult is the answer: what became of each event, in the same order.
type BatchResult struct {
	Results []any `json:"results"` // batchItem or *Problem
}

type batchItem struct {
	Status int     `json:"status"`
	ID     push.ID `json:"id"`
}

// batch publishes many events. One that is refused does not keep the others
// back.
func (q *request) batch() error {
	batch, p := q.readBatch()
	if p != nil {
		return p
	}
	key, p := q.idempotencyKey()
	if p != nil {
		return p
	}
	if p := q.limits.message(q.caller(), len(batch.Events)); p != nil {
		return p
	}
	subs := make([]*submission, len(batch.Events))
	for i, raw := range batch.Events {
		subs[i] = q.batched(raw)
		if key != "" && subs[i].key == "" { // no header can hold a NUL: it is nobody else's
			subs[i].key = key + "\x00" + strconv.Itoa(i)
		}
	}
	q.submit(q.r.Context(), q.who, q.ownConnection(), q.idemScope(), subs...)
	res := BatchResult{make([]any, len(subs))}
	for i, s := range subs {
		id, err := s.result()
		if err == nil {
			res.Results[i] = batchItem{http.StatusCreated, id}
			continue
		}
		p := AsProblem(err)
		q.logRefused(q.r.Context(), p, q.asker())
		q.logProblem(q.r.Context(), p, fmt.Sprintf("batch, event %d", i))
		res.Results[i] = p
	}
	return writeJSON(q.w, http.StatusOK, res)
}

func (q *request) readBatch() (batch Batch, p *Problem) {
	if t := q.r.Header.Get("Content-Type"); t != "" {
		if t, _, err := mime.ParseMediaType(t); err != nil || t != typeJSON {
			return batch, problemf(http.StatusUnsupportedMediaType, "a batch is %s", typeJSON).with("Accept-Post", typeJSON)
		}
	}
	body, p := q.readUpTo(max(maxBatchBody, q.cfg.MaxMessage))
	if p != nil {
		return batch, p
	}
	if p := parseJSON(body, &batch); p != nil {
		return batch, p
	}
	if n := len(batch.Events); n == 0 || n > maxBatch {
		return batch, problemf(http.StatusBadRequest, "%d events: 1 to %d are expected", n, maxBatch)
	}
	return batch, nil
}

// batched reads one event of a batch, and checks whether it may be published.
func (q *request) batched(raw json.RawMessage) *submission {
	e, err := ws.ParseEvent(raw)
	s := &submission{event: e, key: e.Idem}
	s.event.Idem = ""
	switch {
	case err != nil:
		s.err = problemf(http.StatusBadRequest, "%s", err)
	case int64(len(e.Data)) > q.cfg.MaxMessage:
		s.err = problemf(http.StatusRequestEntityTooLarge, "the event is larger than %d bytes", q.cfg.MaxMessage)
	default:
		if p := q.mayPublish(q.r.Context(), q.who, e.Topic); p != nil {
			s.err = p
		}
	}
	return s
}
