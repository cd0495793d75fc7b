package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// defaultAge is how long keys are used that came without max-age.
	defaultAge = 5 * time.Minute
	// maxAge bounds what the provider may ask for: a key that was withdrawn must stop counting some
	// day.
	maxAge = 24 * time.Hour
	// cooldown passes between two fetches, successful or not, so that nobody can make us hammer the
	// provider by inventing key ids or while it is down.
	cooldown = 10 * time.Second
	// retryAfter passes after a failed fetch. It is short: nothing can be answered meanwhile.
	retryAfter = time.Second
)

// keySet keeps the provider's published keys for as long as it says (RFC 9111 §5.2.2.1), and looks
// again before that when a token names a key that is not among them: the provider may have rotated.
type keySet struct {
	issuer string
	client *http.Client
	now    func() time.Time

	turn chan struct{} // holds one value while somebody may use the fields below; a wait can be given up

	jwksURI string
	keys    []jose.JSONWebKey
	until   time.Time // when keys are stale
	next    time.Time // before this no fetch is made
	failed  error     // of the last fetch
}

func newKeySet(c Config) *keySet {
	return &keySet{issuer: c.Issuer, client: c.HTTPClient, now: c.Now, turn: make(chan struct{}, 1)}
}

// find returns the public key with the id for the algorithm. One caller fetches at a time, the
// others wait for what it brings.
func (s *keySet) find(ctx context.Context, id, algorithm string) (*jose.JSONWebKey, error) {
	if id == "" {
		return nil, invalidToken("the token names no key: kid is missing")
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for keys: %w", ctx.Err())
	}
	now := s.now()
	fresh := now.Before(s.until)
	if fresh {
		if key := s.lookup(id, algorithm); key != nil {
			return key, nil
		}
	}
	if now.Before(s.next) && (fresh || s.failed != nil) {
		if fresh {
			return nil, invalidToken("the token is signed with an unknown key")
		}
		return nil, s.failed
	}
	if err := s.fetch(ctx); err != nil {
		// A caller that gave up says nothing about the provider.
		if ctx.Err() == nil {
			s.failed, s.next = err, now.Add(retryAfter)
		}
		if fresh {
			return nil, invalidToken("the token is signed with an unknown key")
		}
		return nil, err
	}
	s.next = now.Add(cooldown)
	if key := s.lookup(id, algorithm); key != nil {
		return key, nil
	}
	return nil, invalidToken("the token is signed with an unknown key")
}

// lookup finds a key that says it may be used so. A key's own alg, where it has one, binds
// (RFC 7517 §4.4).
func (s *keySet) lookup(id, algorithm string) *jose.JSONWebKey {
	for i := range s.keys {
		k := &s.keys[i]
		if k.KeyID == id && (k.Algorithm == "" || k.Algorithm == algorithm) && (k.Use == "" || k.Use == "sig") {
			return k
		}
	}
	return nil
}

// fetch reads the discovery document, once, and the key set it names.
func (s *keySet) fetch(ctx context.Context) error {
	if s.jwksURI == "" {
		var metadata struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if _, err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration",
			&metadata); err != nil {
			return fmt.Errorf("discover %s: %w", s.issuer, err)
		}
		// OIDC Discovery §4.3: else one provider could speak for another.
		if metadata.Issuer != s.issuer {
			return fmt.Errorf("discover %s: the document is of issuer %q", s.issuer, metadata.Issuer)
		}
		if metadata.JWKSURI == "" {
			return fmt.Errorf("discover %s: no jwks_uri", s.issuer)
		}
		s.jwksURI = metadata.JWKSURI
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	header, err := s.get(ctx, s.jwksURI, &set)
	if err != nil {
		s.jwksURI = "" // it may have moved: ask the discovery document next time
		return fmt.Errorf("fetch keys: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		// A key of a kind that is not known here is left out, not an error (RFC 7517 §5). Neither a
		// private nor a symmetric key has any business in a published set.
		if k.UnmarshalJSON(raw) == nil && k.Valid() && k.IsPublic() {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return errors.New("fetch keys: the set holds no usable key")
	}
	s.keys, s.failed = keys, nil
	s.until = s.now().Add(age(header))
	return nil
}

func (s *keySet) get(ctx context.Context, url string, into any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	return res.Header, nil
}

// age is for how long an answer may be used: its max-age, within bounds.
func age(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		if name == "no-store" || name == "no-cache" {
			return cooldown
		}
		if name == "max-age" {
			n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
			if err != nil {
				break
			}
			return min(max(time.Duration(n)*time.Second, cooldown), maxAge)
		}
	}
	return defaultAge
}
