//go:build linux

package direct

// Watched returns how many connections are watched, and whether a goroutine
// does it.
func Watched() (n int, running bool) {
	peers.mu.Lock()
	defer peers.mu.Unlock()
	return len(peers.conns), peers.runs
}
