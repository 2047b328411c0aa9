package push

import "strings"

// tree keeps values by topic or by pattern, one node a segment, so that what
// matches is found without looking at all that does not.
type tree[T any] struct {
	kids  map[string]*tree[T]
	value T
	set   bool
}

// put sets the value of a topic or pattern.
func (n *tree[T]) put(path string, v T) {
	for more := true; more; {
		var seg string
		seg, path, more = strings.Cut(path, "/")
		kid := n.kids[seg]
		if kid == nil {
			if kid = new(tree[T]); n.kids == nil {
				n.kids = map[string]*tree[T]{}
			}
			n.kids[seg] = kid
		}
		n = kid
	}
	n.value, n.set = v, true
}

// remove forgets a value, and returns whether nothing is left.
func (n *tree[T]) remove(path string) (empty bool) {
	seg, rest, more := strings.Cut(path, "/")
	kid := n.kids[seg]
	if kid == nil {
		return false
	}
	if more {
		empty = kid.remove(rest)
	} else {
		var none T
		kid.value, kid.set = none, false
		empty = len(kid.kids) == 0
	}
	if empty {
		delete(n.kids, seg)
	}
	return len(n.kids) == 0 && !n.set
}

// matching calls f for each topic in the tree that matches a pattern.
func (n *tree[T]) matching(pattern string, f func(T)) { n.match(pattern, true, f) }

func (n *tree[T]) match(pattern string, root bool, f func(T)) {
	seg, rest, more := strings.Cut(pattern, "/")
	if seg != "*" && seg != "**" {
		n.kids[seg].step(rest, more, f)
		return
	}
	if seg == "**" && n.set { // zero segments
		f(n.value)
	}
	for name, kid := range n.kids {
		switch {
		case root && strings.HasPrefix(name, "$"):
		case seg == "**":
			kid.match(seg, false, f)
		default:
			kid.step(rest, more, f)
		}
	}
}

// step goes on behind a segment that matched.
func (n *tree[T]) step(rest string, more bool, f func(T)) {
	switch {
	case n == nil:
	case more:
		n.match(rest, false, f)
	case n.set:
		f(n.value)
	}
}

// covering calls f for each pattern in the tree that a topic matches.
func (n *tree[T]) covering(topic string, f func(T)) {
	n.cover(topic, true, strings.HasPrefix(topic, "$"), f)
}

func (n *tree[T]) cover(topic string, more, special bool, f func(T)) {
	if kid := n.kids["**"]; kid != nil && kid.set && !special {
		f(kid.value)
	}
	if !more {
		if n.set {
			f(n.value)
		}
		return
	}
	seg, rest, more := strings.Cut(topic, "/")
	if kid := n.kids[seg]; kid != nil && seg != "*" && seg != "**" {
		kid.cover(rest, more, false, f)
	}
	if kid := n.kids["*"]; kid != nil && !special {
		kid.cover(rest, more, false, f)
	}
}
