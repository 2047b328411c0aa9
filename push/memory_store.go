package push

import (
	"bytes"
	"container/heap"
	"context"
	"strings"
	"sync"
	"time"
)

// DefaultStoreBytes bounds a MemoryStore unless it is told otherwise: room for
// about 100,000 tickets.
const DefaultStoreBytes = 64 << 20

// storeOverhead is what an entry costs next to its key and value.
const storeOverhead = 200

// MemoryStore is a Store in this process's memory. It has no goroutine and no
// timer: writing frees what has expired.
type MemoryStore struct {
	mu      sync.Mutex
	entries map[string]*storeEntry
	due     dueHeap // the same entries
	bytes   int
	max     int
}

var _ Store = (*MemoryStore)(nil)

type storeEntry struct {
	key   string
	value []byte
	until time.Time // monotonic: a wall clock that jumps ages nothing
	at    int       // index in due
}

func (e *storeEntry) size() int { return len(e.key) + len(e.value) + storeOverhead }

// NewMemoryStore returns an empty store of at most maxBytes, counting keys,
// values and about 200 bytes an entry. 0 or less is DefaultStoreBytes.
func NewMemoryStore(maxBytes int) *MemoryStore {
	if maxBytes <= 0 {
		maxBytes = DefaultStoreBytes
	}
	return &MemoryStore{entries: map[string]*storeEntry{}, max: maxBytes}
}

// Add implements Store.
func (s *MemoryStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	return s.put(ctx, key, value, ttl, false)
}

// Set implements Store.
func (s *MemoryStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := s.put(ctx, key, value, ttl, true)
	return err
}

func (s *MemoryStore) put(ctx context.Context, key string, value []byte, ttl time.Duration, replace bool) (bool, error) {
	if err := CheckStoreEntry(key, value, ttl); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.due) > 0 && !s.due[0].until.After(now) {
		s.remove(s.due[0])
	}
	old := s.entries[key]
	if old != nil && !replace {
		return false, nil
	}
	e := &storeEntry{key: key, value: bytes.Clone(value), until: now.Add(ttl)}
	room := s.max - s.bytes - e.size()
	if old != nil {
		room += old.size()
	}
	if room < 0 {
		return false, ErrStoreFull
	}
	if old != nil {
		s.remove(old)
	}
	s.entries[key] = e
	s.bytes += e.size()
	heap.Push(&s.due, e)
	return true, nil
}

func (s *MemoryStore) remove(e *storeEntry) {
	heap.Remove(&s.due, e.at)
	delete(s.entries, e.key)
	s.bytes -= e.size()
}

// live returns the entry of a key, unless it has expired.
func (s *MemoryStore) live(key string) *storeEntry {
	e := s.entries[key]
	if e == nil || !e.until.After(time.Now()) {
		return nil
	}
	return e
}

// Get implements Store.
func (s *MemoryStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.get(ctx, key, false)
}

// Take implements Store.
func (s *MemoryStore) Take(ctx context.Context, key string) ([]byte, bool, error) {
	return s.get(ctx, key, true)
}

func (s *MemoryStore) get(ctx context.Context, key string, take bool) ([]byte, bool, error) {
	if err := CheckStoreKey(key); err != nil {
		return nil, false, err
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live(key)
	if e == nil {
		return nil, false, nil
	}
	if take {
		s.remove(e)
	}
	return bytes.Clone(e.value), true, nil
}

// Delete implements Store.
func (s *MemoryStore) Delete(ctx context.Context, key string) error {
	_, _, err := s.get(ctx, key, true)
	return err
}

// List implements Store. It looks at every entry.
func (s *MemoryStore) List(ctx context.Context, prefix string) (map[string][]byte, error) {
	if err := CheckStorePrefix(prefix); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string][]byte{}
	for key := range s.entries {
		if e := s.live(key); e != nil && strings.HasPrefix(key, prefix) {
			found[key] = bytes.Clone(e.value)
		}
	}
	return found, nil
}

// dueHeap is a heap of entries by the time at which they expire.
type dueHeap []*storeEntry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e := x.(*storeEntry)
	e.at = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
