package rest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// idemStore remembers for push.IdemWindow what requests with an idempotency
// key were answered, after draft-ietf-httpapi-idempotency-key-header.
type idemStore struct {
	mu    sync.Mutex
	known map[string]*idemAnswer
	order []*idemAnswer // by time
}

type idemAnswer struct {
	key   string
	print [sha256.Size]byte // of what was published
	until time.Time
	done  bool
	id    push.ID
}

// maxIdem bounds the store; above it the oldest answers are forgotten before
// their time.
const maxIdem = 1 << 16

// receiveOnce publishes an event unless its key was used before in the same
// scope and topic.
func (h *Handler) receiveOnce(ctx context.Context, scope, key string, in *push.Inbound) (id push.ID, err error) {
	e := in.Event
	full := hash(scope, e.Topic, key)
	a, p := h.idem.begin(full, sha256.Sum256([]byte(fmt.Sprintf("%q %q %q %s", e.Name, e.Key, e.ContentType, e.Data))))
	if p != nil {
		return push.ID{}, p
	}
	if a.done {
		return a.id, nil
	}
	e.Idem = full
	err = errors.New("rest: an inbound handler panicked")
	defer func() { h.idem.end(a, id, err) }()
	id, err = h.receive(ctx, in)
	return id, err
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q", parts)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *idemStore) begin(key string, fingerprint [sha256.Size]byte) (idemAnswer, *Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.order) > 0 && (now.After(s.order[0].until) || len(s.order) > maxIdem) {
		if old := s.order[0]; s.known[old.key] == old {
			delete(s.known, old.key)
		}
		s.order[0] = nil
		s.order = s.order[1:]
	}
	switch a := s.known[key]; {
	case a == nil:
	case a.print != fingerprint:
		return *a, problemf(http.StatusUnprocessableEntity, "this Idempotency-Key was used for another event: use a new key for each event")
	case !a.done:
		return *a, problemf(http.StatusConflict, "the first request with this Idempotency-Key is still being served").retryAfter(time.Second)
	default:
		return *a, nil
	}
	a := &idemAnswer{key: key, print: fingerprint, until: now.Add(push.IdemWindow)}
	if s.known == nil {
		s.known = map[string]*idemAnswer{}
	}
	s.known[key] = a
	s.order = append(s.order, a)
	return *a, nil
}

// end stores an answer. A request that failed may be repeated.
func (s *idemStore) end(a idemAnswer, id push.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.known[a.key]
	if stored == nil {
		return
	}
	if err != nil {
		delete(s.known, a.key)
		return
	}
	stored.done, stored.id = true, id
}
