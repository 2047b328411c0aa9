package rest_test

import (
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

// TestLongKeyHoldsOnAnotherConnection guards against a doubled event: a visitor
// without a name whose connection broke before the answer has another one when
// it asks again, or asks by another transport.
func TestLongKeyHoldsOnAnotherConnection(t *testing.T) {
	s := serve(t, rest.Config{Auth: who})
	ann, bob := "Push-Connection: "+s.follow("/topics/wall").cid, "Push-Connection: "+s.follow("/topics/wall").cid
	const long, short, user = "Idempotency-Key: 3q2+7wAAAAEAAAABAAAAAg", "Idempotency-Key: 3q2+7wAAAAEAAAABAAAAA", "User: carol"
	first := s.published(s.post("/topics/key", "hi", long, ann))
	for _, other := range []string{bob, "X: no connection"} {
		if id := s.published(s.post("/topics/key", "hi", long, other)); id != first {
			t.Errorf("the same long key with %q: another event", other)
		}
	}
	if id := s.published(s.post("/topics/key", "hi", long, user)); id == first {
		t.Error("a signed-in subject got an anonymous visitor's answer")
	}
	if s.published(s.post("/topics/key", "hi", short, ann)) == s.published(s.post("/topics/key", "hi", short, bob)) {
		t.Error("a short key, which can be guessed, holds for all visitors")
	}
}
