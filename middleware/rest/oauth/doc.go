// Package oauth lets OAuth 2.0 access tokens decide who may do what at a mount
// of package rest: JWTs of one issuer by RFC 9068, opaque tokens by
// introspection (RFC 7662), scopes to grants. It knows no framework.
//
//	auth, err := oauth.New(oauth.Config{
//		Issuer:   "https://id.example.com",
//		Audience: "https://api.example.com/push",
//		Scopes:   oauth.ScopeMap{"chat.read": {push.Sub("chat/**")}},
//	})
//	h, err := rest.New(rest.Config{Hub: hub, Auth: auth, PublicURL: "https://api.example.com"})
//
// The provider is asked when the first token comes, not before: one that is
// down makes streams wait and requests fail with 503, and does not keep a
// server from starting.
//
// It is a package of its own so that users of rest without OAuth link no JOSE.
// Everything about keys and signatures is golang-jwt's and keyfunc's.
package oauth
