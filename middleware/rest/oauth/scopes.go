package oauth

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/dualpush-go/dualpush/push"
)

// ScopeMap says what each scope grants. A segment "{claim}" of a pattern stands
// for what the token's claim says, e.g. users/{sub}/**: one segment, literally.
// A claim that is missing, or no single segment of a topic, grants nothing.
type ScopeMap map[string][]push.Grant

// maxGrants bounds what one token grants.
const maxGrants = 200

func (m ScopeMap) check() error {
	for scope, grants := range m {
		for _, g := range grants {
			if err := checkTemplate(g); err != nil {
				return fmt.Errorf("oauth: scope %q: %w", scope, err)
			}
		}
	}
	return nil
}

func checkTemplate(g push.Grant) error {
	if !isAction(g.Action) {
		return fmt.Errorf("there is no action %q", g.Action)
	}
	segments := strings.Split(g.Pattern, "/")
	for i, seg := range segments {
		if claimOf(seg) != "" {
			segments[i] = "x"
		} else if strings.ContainsAny(seg, "{}") {
			return fmt.Errorf("pattern %q: {claim} stands for a whole segment, as in users/{sub}", g.Pattern)
		}
	}
	return push.CheckPattern(strings.Join(segments, "/"))
}

func isAction(a push.Action) bool {
	switch a {
	case push.ActionSub, push.ActionPub, push.ActionHistory, push.ActionPresence, push.ActionManage:
		return true
	}
	return false
}

// claimOf returns the claim that a segment stands for, or "".
func claimOf(seg string) string {
	if name, ok := strings.CutPrefix(seg, "{"); ok {
		if name, ok = strings.CutSuffix(name, "}"); ok && !strings.ContainsAny(name, "{}") {
			return name
		}
	}
	return ""
}

// grants returns what scopes grant to a token with claims.
func (m ScopeMap) grants(scopes []string, claims map[string]any) (grants []push.Grant) {
	for _, scope := range scopes {
		for _, template := range m.of(scope) {
			if g, ok := expand(template, claims); ok && len(grants) < maxGrants {
				grants = append(grants, g)
			}
		}
	}
	return grants
}

// of returns the templates of a scope.
func (m ScopeMap) of(scope string) []push.Grant {
	if m != nil {
		return m[scope]
	}
	kind, rest, ok := strings.Cut(scope, ":")
	action, pattern, ok2 := strings.Cut(rest, ":")
	g := push.Grant{Action: push.Action(action), Pattern: pattern}
	if !ok || !ok2 || kind != "push" || checkTemplate(g) != nil {
		return nil
	}
	return []push.Grant{g}
}

// expand puts claims into a template. What comes from a claim never becomes a
// wildcard or more than one segment.
func expand(g push.Grant, claims map[string]any) (push.Grant, bool) {
	if !strings.Contains(g.Pattern, "{") {
		return g, true
	}
	segments := strings.Split(g.Pattern, "/")
	for i, seg := range segments {
		name := claimOf(seg)
		if name == "" {
			continue
		}
		value, ok := claims[name].(string)
		if !ok || !isLiteral(value) {
			return push.Grant{}, false
		}
		segments[i] = value
	}
	g.Pattern = strings.Join(segments, "/")
	return g, push.CheckPattern(g.Pattern) == nil // it may be too long now
}

// isLiteral reports whether a value is one segment of a topic that can be
// written in one way only.
func isLiteral(value string) bool {
	return push.CheckTopic(value) == nil && !strings.Contains(value, "/") && norm.NFC.IsNormalString(value)
}

// names are the scopes that mean something, if they can be listed.
func (m ScopeMap) names() []string { return slices.Sorted(maps.Keys(m)) }

// scopesOf reads the scopes of a token: "scope" by RFC 9068 section 2.2.3 and
// RFC 7662, a list of the sloppy, and "scp".
func scopesOf(claims map[string]any) (scopes []string) {
	for _, name := range []string{"scope", "scp"} {
		switch v := claims[name].(type) {
		case string:
			return strings.Fields(v)
		case []any:
			for _, s := range v {
				if s, ok := s.(string); ok {
					scopes = append(scopes, s)
				}
			}
			return scopes
		}
	}
	return nil
}
