// Oauth is an app behind an identity provider: people log in, and see what is
// said to all and what is said to them alone, live on every transport with one
// identity.
//
//	go run ./examples/oauth
//
// It starts the provider as a child process (npm's oidc-provider; Node.js and
// npm are needed, and what it needs is installed at the first start), an API
// and a page. With -issuer it uses another provider instead.
package main
