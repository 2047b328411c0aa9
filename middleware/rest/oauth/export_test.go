package oauth

import "github.com/dualpush-go/dualpush/push"

// Grants returns what scopes grant to a token with claims.
func Grants(v *Verifier, scopes []string, claims map[string]any) []push.Grant {
	return v.cfg.Scopes.grants(scopes, claims)
}
