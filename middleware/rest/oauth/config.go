package oauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Config configures New.
type Config struct {
	// Issuer is the identity provider, as its tokens name it (iss) and where
	// its discovery document is.
	// Required.
	Issuer string

	// Audience is how tokens for this mount name it (aud): its URL, as a rule.
	// Required.
	Audience string

	// Scopes says which scopes grant what. Then no other scope means anything.
	// Optional. Default: scopes of the form "push:<action>:<pattern>", such as
	// "push:sub:chat/*" and "push:pub:users/{sub}/**"; see ScopeMap for {sub}.
	Scopes ScopeMap

	// AcceptJWTType takes tokens of the type "JWT", or without one, too, from
	// providers that do not know RFC 9068. What is told apart by the type there
	// then depends on Audience: it must be no client's id.
	// Optional. Default false: the type is "at+jwt".
	AcceptJWTType bool

	// Introspection takes tokens that are no JWTs by asking the provider.
	// Optional. Default nil: such tokens are refused.
	Introspection *Introspection

	// Client talks to the provider.
	// Optional. Default: one that gives up after 5 s.
	Client *http.Client

	// Logger gets what goes wrong with the provider, and claims that cannot be
	// used in patterns.
	// Optional. Default slog.Default().
	Logger *slog.Logger
}

// Introspection is how to ask about tokens (RFC 7662).
type Introspection struct {
	// ClientID and ClientSecret are this server's own at the provider.
	// Required.
	ClientID, ClientSecret string

	// Endpoint is where to ask.
	// Optional. Default: what the provider's discovery document says.
	Endpoint string
}

// timeout bounds each talk with the provider.
const timeout = 5 * time.Second

func (cfg *Config) setDefaults() error {
	switch {
	case cfg.Issuer == "":
		return errors.New("oauth: Config.Issuer is missing: the URL of the identity provider, as its tokens name it")
	case cfg.Audience == "":
		return errors.New("oauth: Config.Audience is missing: how tokens for this mount name it, e.g. https://api.example.com/push; " +
			"without it any token of the provider would do")
	}
	if err := checkURL("Issuer", cfg.Issuer); err != nil {
		return err
	}
	if in := cfg.Introspection; in != nil {
		if in.ClientID == "" || in.ClientSecret == "" {
			return errors.New("oauth: Introspection needs ClientID and ClientSecret: the provider answers nobody else")
		}
		if in.Endpoint != "" {
			if err := checkURL("Introspection.Endpoint", in.Endpoint); err != nil {
				return err
			}
		}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: timeout}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return nil
}

// checkURL wants https, but for this machine itself.
func checkURL(what, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("oauth: %s %q: give a URL, e.g. https://id.example.com", what, s)
	}
	if u.Scheme == "http" && !isLoopback(u.Host) {
		return fmt.Errorf("oauth: %s %q: give an https URL; keys and tokens do not go in the clear", what, s)
	}
	return nil
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
