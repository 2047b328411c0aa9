package push

// Action is what a grant allows on the topics of its pattern.
type Action string

// The actions.
const (
	ActionSub Action = "sub" // subscribe and read history
	ActionPub Action = "pub" // publish
)

// Grant allows one action on all topics that match a pattern.
type Grant struct {
	Action  Action
	Pattern string
}

// Sub grants subscribing to, and reading the history of, what matches pattern.
func Sub(pattern string) Grant { return Grant{ActionSub, pattern} }

// Pub grants publishing to what matches pattern.
func Pub(pattern string) Grant { return Grant{ActionPub, pattern} }

// Allows reports whether g allows action on topic, which may be a pattern:
// then every topic that matches it must be covered.
func (g Grant) Allows(action Action, topic string) bool {
	return g.Action == action && Covers(g.Pattern, topic)
}
