package push_test

import (
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

func TestGrantAllowsItsActionAndWhatThatImplies(t *testing.T) {
	actions := []push.Action{push.ActionSub, push.ActionPub, push.ActionHistory, push.ActionPresence, push.ActionManage}
	grants := []push.Grant{push.Sub("a/*"), push.Pub("a/*"), push.History("a/*"), push.Presence("a/*"), push.Manage("a/*")}
	for i, g := range grants {
		for j, action := range actions {
			want := i == j || g.Action == push.ActionSub && action == push.ActionHistory
			if got := g.Allows(action, "a/b"); got != want {
				t.Errorf("a grant to %s allows to %s: %v, want %v", g.Action, action, got, want)
			}
			if g.Allows(action, "b") || g.Allows(action, "a/b/c") || g.Allows(action, "a/**") {
				t.Errorf("a grant to %s on a/* allows to %s elsewhere", g.Action, action)
			}
		}
	}
}
