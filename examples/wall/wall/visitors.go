package wall

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// settle is how long visitors waits before it looks at what changed: so long
// may a poller be away between two polls.
const settle = 300 * time.Millisecond

var transports = []string{"sse", "ws", "poll"}

func isTransport(name string) bool { return slices.Contains(transports, name) }

// visitors counts the connections of this node, by transport and by what else
// each counts as, and publishes the counts when they changed. It is safe for
// concurrent use.
type visitors struct {
	publish func(counts map[string]int) // called by one goroutine at a time

	mu    sync.Mutex
	who   map[string][]string // what each connection counts as, by its id
	open  map[string]int      // now
	most  map[string]int      // since the last look, so that pollers do not flicker
	said  map[string]int      // what was published last
	armed bool                // a look is due
}

func newVisitors(publish func(map[string]int)) *visitors {
	none := map[string]int{}
	for _, name := range transports {
		none[name] = 0
	}
	return &visitors{publish: publish, who: map[string][]string{}, open: none, most: maps.Clone(none)}
}

// join notes that a connection came: its transport, and what else it counts as.
func (v *visitors) join(id string, as ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.who[id] = as
	for _, name := range as {
		v.open[name]++
		v.most[name] = max(v.most[name], v.open[name])
	}
	v.armLocked()
}

// leave notes that a connection went. One that never joined is nobody.
func (v *visitors) leave(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	as, ok := v.who[id]
	if !ok {
		return
	}
	delete(v.who, id)
	for _, name := range as {
		if v.open[name]--; v.open[name] == 0 && !isTransport(name) {
			delete(v.open, name)
		}
	}
	v.armLocked()
}

// counts returns them as they are now.
func (v *visitors) counts() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.open)
}

func (v *visitors) armLocked() {
	if !v.armed {
		v.armed = true
		time.AfterFunc(settle, v.look)
	}
}

// look publishes the counts if they are news. Who has left since the last look
// is missed at the next one only.
func (v *visitors) look() {
	v.mu.Lock()
	counts := v.most
	v.most = maps.Clone(v.open)
	news := !maps.Equal(counts, v.said)
	v.said = counts
	v.mu.Unlock()
	if news {
		v.publish(counts)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.armed = false
	if !maps.Equal(v.most, v.said) {
		v.armLocked()
	}
}
