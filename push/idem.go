package push

import "time"

// maxIdemBytes bounds the idempotency keys that a memory broker remembers, over
// all topics; above it the oldest is forgotten before its time.
const maxIdemBytes = 32 << 20

// idemOverhead is about what a key costs next to its bytes and its topic's.
const idemOverhead = 200

type idemKey struct{ topic, key string }

func (k idemKey) size() int { return idemOverhead + len(k.topic) + len(k.key) }

type idemEntry struct {
	key   idemKey
	until time.Duration
}

// idemMemory remembers which event an idempotency key stands for.
type idemMemory struct {
	ids   map[idemKey]ID
	order []idemEntry // by time
	bytes int
}

// seen returns the ID that stands for a key at a time.
func (s *idemMemory) seen(k idemKey, now time.Duration) (ID, bool) {
	for len(s.order) > 0 && (s.order[0].until <= now || s.bytes > maxIdemBytes) {
		s.bytes -= s.order[0].key.size()
		delete(s.ids, s.order[0].key)
		s.order[0] = idemEntry{}
		s.order = s.order[1:]
	}
	id, ok := s.ids[k]
	return id, ok
}

func (s *idemMemory) add(k idemKey, id ID, now time.Duration) {
	if s.ids == nil {
		s.ids = map[idemKey]ID{}
	}
	s.ids[k] = id
	s.bytes += k.size()
	s.order = append(s.order, idemEntry{k, now + IdemWindow})
}
