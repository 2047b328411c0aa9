package middleware

import "github.com/dualpush-go/dualpush/middleware/rest/oauth"

// What OIDC takes from package oauth, under the names of this package.
type (
	// OIDCConfig configures OIDC.
	OIDCConfig = oauth.Config
	// ScopeMap says what each scope grants.
	ScopeMap = oauth.ScopeMap
	// Introspection is how to ask the provider about opaque tokens.
	Introspection = oauth.Introspection
)

// OIDC lets the access tokens of an identity provider decide who may do what:
// the same token, scopes and errors for publishing by REST and for every live
// stream. The provider is asked when the first token comes. It panics if the
// configuration is wrong, with what to do about it in the text.
func OIDC(cfg OIDCConfig) Auth {
	v, err := oauth.New(cfg)
	if err != nil {
		panic(err)
	}
	return v
}
