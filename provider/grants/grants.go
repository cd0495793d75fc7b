package grants

import (
	"log/slog"
	"time"

	"latchkey/keys"
	"latchkey/provider/clientauth"
	"latchkey/provider/storage"
)

// Lifetimes say how long what is made under a grant is good for. The zero value of a field is not a
// default: the caller sets all.
type Lifetimes struct {
	CodeTTL         time.Duration // an authorization code
	AccessTokenTTL  time.Duration
	IDTokenTTL      time.Duration
	RefreshIdle     time.Duration // a refresh token that is not used for so long ends
	RefreshAbsolute time.Duration // a grant with offline access ends after
	RefreshGrace    time.Duration // a replaced refresh token yields its same successor for so long; negative: never
}

// Config is what Grants needs. All fields must be set.
type Config struct {
	Issuer  string
	Store   *storage.Store
	Keys    *keys.Ring
	Sealer  *keys.Sealer
	Clients *clientauth.Authenticator // knows the keys that answers are encrypted to
	Logger  *slog.Logger
	Now     func() time.Time // in UTC, cut to the millisecond
	Lifetimes

	// AccessTokenAlg signs access tokens for APIs whose registration names no algorithm: one of
	// keys.SigningAlgorithms.
	AccessTokenAlg string
	// InsecureAllowNone lets ID tokens and userinfo of clients that registered for it be unsigned
	// (alg none).
	InsecureAllowNone bool
}

// Grants makes tokens of grants, reads them back, and decides whether a grant still stands.
type Grants struct {
	Config
	subKey   []byte // pairwise subjects
	tokenKey []byte // refresh tokens
}

// New makes Grants.
func New(cfg Config) *Grants {
	return &Grants{Config: cfg, subKey: cfg.Sealer.Derive("pairwise subjects", 32),
		tokenKey: cfg.Sealer.Derive("refresh tokens", 32)}
}
