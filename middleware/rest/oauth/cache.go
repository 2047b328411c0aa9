package oauth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

// How many tokens are remembered, and for how long at most: a key that the
// provider has taken back, or a token that it has, counts no longer than that.
const (
	maxKnown   = 20_000
	jwtLife    = 5 * time.Minute
	activeLife = 30 * time.Second
)

// cache remembers what tokens turned out to be, by their hashes. A nil
// principal is a token that is not active.
type cache struct {
	mu    sync.RWMutex
	known map[[sha256.Size]byte]entry
}

type entry struct {
	who   *rest.Principal
	until time.Time
}

func (c *cache) get(key [sha256.Size]byte, now time.Time) (*rest.Principal, bool) {
	c.mu.RLock()
	e, ok := c.known[key]
	c.mu.RUnlock()
	return e.who, ok && now.Before(e.until)
}

func (c *cache) put(key [sha256.Size]byte, who *rest.Principal, until, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[[sha256.Size]byte]entry{}
	}
	if len(c.known) >= maxKnown {
		c.makeRoom(now)
	}
	c.known[key] = entry{who, until}
}

// makeRoom forgets what is over and, of the rest, an eighth at random.
func (c *cache) makeRoom(now time.Time) {
	for key, e := range c.known {
		if !now.Before(e.until) {
			delete(c.known, key)
		}
	}
	for key := range c.known {
		if len(c.known) <= maxKnown*7/8 {
			return
		}
		delete(c.known, key)
	}
}
