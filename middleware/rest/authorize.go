package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// AuthorizeFunc is a rule of the application's own next to the grants: see
// Config.Authorize.
type AuthorizeFunc func(ctx context.Context, p *Principal, action push.Action, topic string) (bool, error)

// denied returns those of topics on which who may not do an action: without a
// grant for it, or because the application's own rule says so. A *Problem says
// that it cannot be known now.
func (h *Handler) denied(ctx context.Context, who *Principal, action push.Action, topics []string) (denied []string, p *Problem) {
	for _, t := range topics {
		action, of := presenceAction(action, t)
		ok := who.Allows(action, of)
		if ok && h.cfg.Authorize != nil {
			var err error
			if ok, err = h.cfg.Authorize(ctx, who, action, of); err != nil {
				p := problemf(http.StatusServiceUnavailable, "the server cannot decide this right now").retryAfter(time.Second)
				p.Err = err
				return nil, p
			}
		}
		if !ok {
			denied = append(denied, t)
		}
	}
	return denied, nil
}

// may returns the problem that names on which topics who may not do an action,
// or nil.
func (h *Handler) may(ctx context.Context, who *Principal, action push.Action, topics ...string) *Problem {
	denied, p := h.denied(ctx, who, action, topics)
	if p != nil || denied == nil {
		return p
	}
	return h.notGranted(action, denied)
}

var actionNames = map[push.Action]string{
	push.ActionSub: "reading", push.ActionHistory: "reading", push.ActionPub: "publishing",
	push.ActionPresence: "seeing who is there", push.ActionManage: "managing",
}

func (h *Handler) notGranted(action push.Action, topics []string) *Problem {
	p := problemf(http.StatusForbidden, "%s is not granted: %s", actionNames[action], strings.Join(topics, ", "))
	if h.resource != nil {
		p = p.with("Www-Authenticate", `Bearer error="insufficient_scope"`) // RFC 6750 section 3.1
	}
	return p
}
