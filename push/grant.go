package push

// Action is what a grant allows on the topics of its pattern.
type Action string

// The actions. Sub implies History, since a stream that starts at a cursor
// shows the same events; History alone is for readers that must not hold
// streams open. No other action implies another.
const (
	ActionSub      Action = "sub"      // subscribe, on every transport, and read history
	ActionPub      Action = "pub"      // publish
	ActionHistory  Action = "history"  // read pages of history and single events; no streams, no waiting
	ActionPresence Action = "presence" // see who is there, and who comes and goes
	ActionManage   Action = "manage"   // end other people's streams; it takes a grant for "**"
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

// History grants reading the history of what matches pattern, without streams.
func History(pattern string) Grant { return Grant{ActionHistory, pattern} }

// Presence grants seeing who is at the topics that match pattern.
func Presence(pattern string) Grant { return Grant{ActionPresence, pattern} }

// Manage grants what administrators do, e.g. revoking a subject's credentials;
// it takes the pattern "**".
func Manage(pattern string) Grant { return Grant{ActionManage, pattern} }

// Allows reports whether g allows action on topic, which may be a pattern:
// then every topic that matches it must be covered.
func (g Grant) Allows(action Action, topic string) bool {
	return (g.Action == action || g.Action == ActionSub && action == ActionHistory) && Covers(g.Pattern, topic)
}
