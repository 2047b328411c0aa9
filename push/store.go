package push

import (
	"context"
	"errors"
	"time"
)

// Store is the small state that all processes over one log share next to it:
// tickets, idempotency keys, revocations, presence. Every entry has a time to
// live. A Broker brings its Store along: see Broker.Store. pushtest.RunStore
// checks every method.
//
// Keys are as CheckStoreKey says, values at most MaxStoreValue bytes; anything
// else, and a ttl that is not positive, is ErrInvalid. An entry is there for
// its whole ttl and at most MaxStoreLag longer: who needs it exact puts the time
// into the value. A context that has ended changes nothing. A store that is
// full says so with ErrStoreFull and never drops an entry before its time.
//
// All methods are safe for concurrent use, and each is atomic over all
// processes: what one has stored all see at once. They copy values: the caller
// may reuse what it gave, and owns what it got.
type Store interface {
	// Add stores a value unless the key is there, and reports whether it did:
	// of many callers at a time one is told so.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)

	// Set stores a value, in place of an older one and its ttl.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Get returns a value, and whether the key is there.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)

	// Take is Get and Delete in one step: of many callers at a time one gets
	// the value.
	Take(ctx context.Context, key string) (value []byte, ok bool, err error)

	// Delete removes a key. It is no error if it is not there.
	Delete(ctx context.Context, key string) error

	// List returns all entries whose key begins with prefix; "" is all.
	List(ctx context.Context, prefix string) (map[string][]byte, error)
}

// Limits of a Store.
const (
	MaxStoreKey   = 200      // bytes of a key
	MaxStoreValue = 64 << 10 // bytes of a value
	MaxStoreLag   = 2 * time.Second
)

// ErrStoreFull is returned by a store that has no room until some of its
// entries have expired.
var ErrStoreFull = errors.New("push: the store is full")

// CheckStoreKey reports why s is no key, or nil: 1 to 200 letters and digits of
// ASCII, "-", "_", "=" and "/". So every engine takes keys as they are; what may
// hold anything else goes in as base64url or as a hash.
func CheckStoreKey(s string) error {
	if s == "" {
		return invalidf("store key is empty")
	}
	return CheckStorePrefix(s)
}

// CheckStorePrefix is CheckStoreKey for the prefix of List, which may be empty.
func CheckStorePrefix(s string) error {
	if len(s) > MaxStoreKey {
		return invalidf("store key of %d bytes: 1 to %d are allowed", len(s), MaxStoreKey)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '=', c == '/':
		default:
			return invalidf("store key %q contains %q: encode it with base64url", s, c)
		}
	}
	return nil
}

// CheckStoreEntry reports why an entry cannot be stored, or nil.
func CheckStoreEntry(key string, value []byte, ttl time.Duration) error {
	if err := CheckStoreKey(key); err != nil {
		return err
	}
	if len(value) > MaxStoreValue {
		return invalidf("store value of %d bytes: at most %d are allowed", len(value), MaxStoreValue)
	}
	if ttl <= 0 {
		return invalidf("store ttl %v: it must be positive", ttl)
	}
	return nil
}
