package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

const (
	keysLife    = 15 * time.Minute // after that keys are fetched anew, in the background
	unknownKeys = 5 * time.Minute  // how often an unknown key may have them fetched
	pause       = 2 * time.Second  // after a failure nobody tries again for so long
	maxDocument = 1 << 20          // bytes of what the provider answers
)

// provider is the identity provider, as far as it has been asked.
type provider struct {
	cfg   *Config
	calls singleflight.Group

	mu        sync.Mutex
	endpoints *endpoints // nil until the discovery document was read
	set       *keySet    // nil until it was fetched
	wanted    bool       // an unknown key has the keys fetched
	unknown   time.Time  // when the last one did
	failed    time.Time
	failure   error
}

// endpoints are what the discovery document says.
type endpoints struct {
	Keys          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

type keySet struct {
	find    keyfunc.Keyfunc
	fetched time.Time
}

func newProvider(cfg *Config) *provider { return &provider{cfg: cfg} }

// keys returns the provider's keys, which it fetches if there are none yet.
func (p *provider) keys(ctx context.Context) (*keySet, error) {
	p.mu.Lock()
	set := p.set
	p.mu.Unlock()
	if set == nil {
		return p.fetch(ctx)
	}
	if time.Since(set.fetched) > keysLife {
		p.begin() // and go on with those that we have
	}
	return set, nil
}

// newerKeys returns keys that are newer than old, if an unknown key may have
// them fetched: once in a while, or strangers could have us ask all the time.
func (p *provider) newerKeys(ctx context.Context, old *keySet) (*keySet, error) {
	p.mu.Lock()
	set := p.set
	may := set == old && time.Since(p.unknown) > unknownKeys
	p.wanted = p.wanted || may
	p.mu.Unlock()
	if !may {
		return set, nil
	}
	return p.fetch(ctx)
}

// fetch waits for keys.
func (p *provider) fetch(ctx context.Context) (*keySet, error) {
	select {
	case res := <-p.begin():
		if res.Err != nil {
			return nil, unavailable(res.Err)
		}
		return res.Val.(*keySet), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin fetches keys, once for all who want them at the same time.
func (p *provider) begin() <-chan singleflight.Result {
	return p.calls.DoChan("keys", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
		defer cancel()
		if err := p.resting(); err != nil {
			return nil, err
		}
		set, err := p.fetchKeys(ctx)
		p.done(set, err)
		return set, err
	})
}

// resting returns the failure after which nobody is to try again yet.
func (p *provider) resting() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.failed) < pause {
		return p.failure
	}
	return nil
}

func (p *provider) done(set *keySet, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed, p.failure = time.Now(), err
		p.cfg.Logger.Error("push: the identity provider does not answer as it should", "issuer", p.cfg.Issuer, "err", err)
		return
	}
	p.set, p.failed = set, time.Time{}
	if p.wanted { // whoever asked may have hung up meanwhile; a failure has a pause of its own
		p.wanted, p.unknown = false, time.Now()
	}
}

func (p *provider) fetchKeys(ctx context.Context) (*keySet, error) {
	ends, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ends.Keys, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := p.read(req, &doc); err != nil {
		return nil, err
	}
	return newKeySet(ctx, doc.Keys)
}

// newKeySet leaves out what is no key for signatures that we know.
func newKeySet(ctx context.Context, raw []json.RawMessage) (*keySet, error) {
	store := jwkset.NewMemoryStorage()
	n := 0
	for _, key := range raw {
		jwk, err := jwkset.NewJWKFromRawJSON(key, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		if err := store.KeyWrite(ctx, jwk); err != nil {
			return nil, err
		}
		n++
	}
	if n == 0 {
		return nil, errors.New("there is no key that can be used")
	}
	kf, err := keyfunc.New(keyfunc.Options{Storage: store, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	return &keySet{kf, time.Now()}, err
}

// discover reads the discovery document, once.
func (p *provider) discover(ctx context.Context) (*endpoints, error) {
	p.mu.Lock()
	ends := p.endpoints
	p.mu.Unlock()
	if ends != nil {
		return ends, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client()), p.cfg.Issuer) // it compares the issuer, too
	if err != nil {
		return nil, err
	}
	ends = &endpoints{}
	if err := found.Claims(ends); err != nil {
		return nil, err
	}
	if err := checkURL("jwks_uri of the provider", ends.Keys); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.endpoints = ends
	p.mu.Unlock()
	return ends, nil
}

// client is the configured one with bodies of bounded size.
func (p *provider) client() *http.Client {
	c := *p.cfg.Client
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = bounded{next}
	return &c
}

type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxDocument)
	}
	return res, err
}

// read sends a request and decodes the JSON of the answer.
func (p *provider) read(req *http.Request, v any) error {
	req.Header.Set("Accept", "application/json")
	res, err := p.client().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s", req.Method, req.URL.Redacted(), res.Status)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, req.URL.Redacted(), err)
	}
	return nil
}

// unavailable is a provider that does not answer, or not what it should: for
// now, as far as clients are concerned.
func unavailable(err error) *rest.Problem {
	return &rest.Problem{
		Title: http.StatusText(http.StatusServiceUnavailable), Status: http.StatusServiceUnavailable,
		Detail: "the identity provider cannot be reached right now", Header: http.Header{"Retry-After": {"5"}}, Err: err,
	}
}
