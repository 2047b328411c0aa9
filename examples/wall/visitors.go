package main

import (
	"maps"
	"sync"
	"time"
)

// settle is how long visitors waits before it looks at what changed: so long
// may a poller be away between two polls.
const settle = 300 * time.Millisecond

// visitors counts the connections of each transport and publishes the counts
// when they changed. It is safe for concurrent use.
type visitors struct {
	publish func(counts map[string]int) // called by one goroutine at a time

	mu    sync.Mutex
	who   map[string]string // the transport of each connection, by its id
	open  map[string]int    // now
	most  map[string]int    // since the last look, so that pollers do not flicker
	said  map[string]int    // what was published last
	armed bool              // a look is due
}

func newVisitors(publish func(map[string]int)) *visitors {
	none := map[string]int{"sse": 0, "ws": 0, "poll": 0}
	return &visitors{publish: publish, who: map[string]string{}, open: none, most: maps.Clone(none)}
}

// join notes that a connection came.
func (v *visitors) join(id, transport string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.who[id] = transport
	v.open[transport]++
	v.most[transport] = max(v.most[transport], v.open[transport])
	v.armLocked()
}

// leave notes that a connection went. One that never joined is nobody.
func (v *visitors) leave(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	transport, ok := v.who[id]
	if !ok {
		return
	}
	delete(v.who, id)
	v.open[transport]--
	v.armLocked()
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
