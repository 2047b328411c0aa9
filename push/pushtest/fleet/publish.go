package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// note is an event as publishers write it. Publishing goes past the mount: its
// idempotency would hold a key for a minute whenever a node dies, and the log's
// own is what is to be tested.
type note struct {
	ID    push.ID `json:"id,omitzero"`
	Topic string  `json:"topic"`
	Data  string  `json:"data"` // unlike any other's; it is the idempotency key, too

	at time.Time // when it was acknowledged
}

// publish publishes to whatever node answers until it is acknowledged, and
// writes that down.
func (r *run) publish(notes []note) {
	for r.ctx.Err() == nil {
		answer, err := r.try(notes)
		if err != nil {
			r.breathe()
			continue
		}
		r.mu.Lock()
		for _, n := range answer {
			n.at = time.Now()
			r.ledger[n.Data] = n
		}
		r.mu.Unlock()
		r.published.Add(int64(len(notes)))
		return
	}
}

func (r *run) try(notes []note) (answer []note, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	body, err := json.Marshal(notes)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.node()+"/publish", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if len(answer) != len(notes) || slices.ContainsFunc(answer, func(n note) bool { return n.ID.Seq == 0 }) {
		return nil, fmt.Errorf("of %d events %d were acknowledged", len(notes), len(answer))
	}
	return answer, nil
}

// publishHandler is the node's end of it.
func publishHandler(h *push.Hub) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var notes []note
		if err := json.NewDecoder(r.Body).Decode(&notes); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		events := make([]push.Event, len(notes))
		for i, n := range notes {
			events[i] = push.Event{Topic: n.Topic, Data: []byte(n.Data), Idem: n.Data}
		}
		ids, err := h.Publish(r.Context(), events...)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		for i := range ids {
			notes[i].ID = ids[i]
		}
		_ = json.NewEncoder(w).Encode(notes)
	})
}
