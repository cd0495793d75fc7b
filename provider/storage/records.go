package storage

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"latchkey/provider/oauth"
)

// Hash is how a secret value is stored: base64url of its SHA-256. The values are random with 256 bits, so
// that neither salt nor stretching adds anything.
func Hash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// User is a person.
type User struct {
	ID           string    `bson:"_id" json:"sub"` // the sub claim of public clients; random, never given to anybody else (OIDC Core §2)
	Username     string    `bson:"username" json:"username"`
	PasswordHash string    `bson:"password_hash,omitempty" json:"-"` // argon2id PHC string; "" means that no password works
	Disabled     bool      `bson:"disabled,omitempty" json:"disabled,omitempty"`
	Groups       []string  `bson:"groups,omitempty" json:"groups,omitempty"`
	Claims       Claims    `bson:"claims" json:"claims"`
	CreatedAt    time.Time `bson:"created_at" json:"created_at"`
	UpdatedAt    time.Time `bson:"updated_at" json:"updated_at"`
	Version      int64     `bson:"version" json:"-"`
}

// Claims are the standard claims about a person (OIDC Core §5.1). preferred_username, updated_at, groups and
// roles are not kept here: they follow from the User and its groups.
type Claims struct {
	Name                string   `bson:"name,omitempty" json:"name,omitempty"`
	GivenName           string   `bson:"given_name,omitempty" json:"given_name,omitempty"`
	FamilyName          string   `bson:"family_name,omitempty" json:"family_name,omitempty"`
	MiddleName          string   `bson:"middle_name,omitempty" json:"middle_name,omitempty"`
	Nickname            string   `bson:"nickname,omitempty" json:"nickname,omitempty"`
	Profile             string   `bson:"profile,omitempty" json:"profile,omitempty"`
	Picture             string   `bson:"picture,omitempty" json:"picture,omitempty"`
	Website             string   `bson:"website,omitempty" json:"website,omitempty"`
	Email               string   `bson:"email,omitempty" json:"email,omitempty"`
	EmailVerified       bool     `bson:"email_verified,omitempty" json:"email_verified,omitempty"`
	Gender              string   `bson:"gender,omitempty" json:"gender,omitempty"`
	Birthdate           string   `bson:"birthdate,omitempty" json:"birthdate,omitempty"` // YYYY-MM-DD, 0000-MM-DD or YYYY
	Zoneinfo            string   `bson:"zoneinfo,omitempty" json:"zoneinfo,omitempty"`
	Locale              string   `bson:"locale,omitempty" json:"locale,omitempty"`
	PhoneNumber         string   `bson:"phone_number,omitempty" json:"phone_number,omitempty"`
	PhoneNumberVerified bool     `bson:"phone_number_verified,omitempty" json:"phone_number_verified,omitempty"`
	Address             *Address `bson:"address,omitempty" json:"address,omitempty"`
}

// Address is the address claim (OIDC Core §5.1.1).
type Address struct {
	Formatted     string `bson:"formatted,omitempty" json:"formatted,omitempty"`
	StreetAddress string `bson:"street_address,omitempty" json:"street_address,omitempty"`
	Locality      string `bson:"locality,omitempty" json:"locality,omitempty"`
	Region        string `bson:"region,omitempty" json:"region,omitempty"`
	PostalCode    string `bson:"postal_code,omitempty" json:"postal_code,omitempty"`
	Country       string `bson:"country,omitempty" json:"country,omitempty"`
}

// Group is a set of people and the roles that membership gives them.
type Group struct {
	Name        string    `bson:"_id" json:"name"`
	Description string    `bson:"description,omitempty" json:"description,omitempty"`
	Roles       []string  `bson:"roles,omitempty" json:"roles,omitempty"` // values of the roles claim
	CreatedAt   time.Time `bson:"created_at" json:"created_at"`
	Version     int64     `bson:"version,omitempty" json:"-"` // 0 of a group that PutGroup stored
}

// Session is one browser in which one person is signed in.
type Session struct {
	ID         string    `bson:"_id"` // the sid claim; not a secret
	SecretHash string    `bson:"secret_hash"`
	UserID     string    `bson:"user_id"`
	AuthTime   time.Time `bson:"auth_time"` // when the person last proved who they are
	AMR        []string  `bson:"amr,omitempty"`
	ACR        string    `bson:"acr,omitempty"`
	Remember   bool      `bson:"remember,omitempty"` // the cookie outlives the browser's run
	State      string    `bson:"state"`              // random; the browser state of OIDC Session Management §3
	UserAgent  string    `bson:"user_agent,omitempty"`
	Address    string    `bson:"address,omitempty"`
	CreatedAt  time.Time `bson:"created_at"`
	LastSeen   time.Time `bson:"last_seen"`
	IdleAt     time.Time `bson:"idle_at"`            // not valid from then on, unless seen before
	ExpiresAt  time.Time `bson:"expires_at"`         // not valid from then on, whatever happens
	EndedAt    time.Time `bson:"ended_at,omitempty"` // not zero: signed out
}

// Valid says whether the session stands at now.
func (s Session) Valid(now time.Time) bool {
	return s.ID != "" && s.EndedAt.IsZero() && now.Before(s.IdleAt) && now.Before(s.ExpiresAt)
}

// Interaction is what a person is in the middle of: an authorization request that waits for them, or a visit to
// a page of ours that needs a sign-in. It is bound to the browser that began it.
type Interaction struct {
	ID          string                     `bson:"_id"`
	BrowserHash string                     `bson:"browser_hash"`
	Request     oauth.AuthorizationRequest `bson:"request"`
	ReturnTo    string                     `bson:"return_to,omitempty"`    // a path of ours, in place of Request
	SignedInAt  time.Time                  `bson:"signed_in_at,omitempty"` // when the person proved who they are for this very request
	PersonID    string                     `bson:"person_id,omitempty"`    // User.ID of whose word Selected and Consented are
	Selected    bool                       `bson:"selected,omitempty"`     // the person chose the account
	Consented   bool                       `bson:"consented,omitempty"`    // the person allowed it
	CreatedAt   time.Time                  `bson:"created_at"`
	ExpiresAt   time.Time                  `bson:"expires_at"`
	Version     int64                      `bson:"version"`
}

// Consent is what a person has allowed an application, for good.
type Consent struct {
	UserID    string    `bson:"user_id"`
	ClientID  string    `bson:"client_id"`
	Scope     []string  `bson:"scope"`
	Claims    []string  `bson:"claims,omitempty"`   // names from the claims parameter
	Resource  []string  `bson:"resource,omitempty"` // RFC 8707
	CreatedAt time.Time `bson:"created_at"`
	UpdatedAt time.Time `bson:"updated_at"`
}

// Covers says whether everything asked for was allowed before.
func (c Consent) Covers(scope, claims, resource []string) bool {
	return subset(scope, c.Scope) && subset(claims, c.Claims) && subset(resource, c.Resource)
}

func subset(a, b []string) bool {
	for _, v := range a {
		if !slices.Contains(b, v) {
			return false
		}
	}
	return true
}

// Grant says: this person let this client have this, in this session. It is the unit of revocation: codes, access
// tokens and refresh tokens belong to one, and are good only while it stands.
type Grant struct {
	ID        string              `bson:"_id"`
	UserID    string              `bson:"user_id"`
	ClientID  string              `bson:"client_id"`
	SessionID string              `bson:"session_id"`
	Scope     []string            `bson:"scope"`
	Claims    oauth.ClaimsRequest `bson:"claims"`
	Resource  []string            `bson:"resource,omitempty"`
	Nonce     string              `bson:"nonce,omitempty"`
	AuthTime  time.Time           `bson:"auth_time"`
	AMR       []string            `bson:"amr,omitempty"`
	ACR       string              `bson:"acr,omitempty"`
	Offline   bool                `bson:"offline,omitempty"` // outlives the session (OIDC Core §11)
	CreatedAt time.Time           `bson:"created_at"`
	LastUsed  time.Time           `bson:"last_used"`
	ExpiresAt time.Time           `bson:"expires_at"` // absolute end of everything under it
	RevokedAt time.Time           `bson:"revoked_at,omitempty"`

	// The code, while the grant is new. It is never removed, so that a replay is recognised.
	CodeHash      string    `bson:"code_hash,omitempty"`
	CodeExpiresAt time.Time `bson:"code_expires_at,omitempty"`
	CodeUsedAt    time.Time `bson:"code_used_at,omitempty"`
	RedirectURI   string    `bson:"redirect_uri,omitempty"`
	CodeChallenge string    `bson:"code_challenge,omitempty"`

	// The refresh token. Its value follows from grant, generation and a key (see provider), so that within
	// the grace period the same successor can be given again without having been stored.
	RefreshGeneration int64     `bson:"refresh_generation,omitempty"` // of the current token; 0: none was issued
	RefreshedAt       time.Time `bson:"refreshed_at,omitempty"`       // when the current generation was made
	RefreshIdleAt     time.Time `bson:"refresh_idle_at,omitempty"`    // the current token is not good from then on
}

// Stands says whether the grant itself still holds at now; its session is another question.
func (g Grant) Stands(now time.Time) bool {
	return g.ID != "" && g.RevokedAt.IsZero() && now.Before(g.ExpiresAt)
}

// Live says whether the grant has come into use: its code was redeemed, or it never had one.
func (g Grant) Live() bool { return g.CodeHash == "" || !g.CodeUsedAt.IsZero() }

// Kinds of Token. A value of one kind is never found as another.
const (
	TokenAccess        = "access"         // opaque access token
	TokenInitialAccess = "initial_access" // permits one dynamic registration (RFC 7591 §3)
)

// Token is a credential that is looked up rather than verified by its signature. The value itself is never stored.
type Token struct {
	Hash       string    `bson:"_id"`
	Kind       string    `bson:"kind"`
	GrantID    string    `bson:"grant_id,omitempty"` // "" for client_credentials
	ClientID   string    `bson:"client_id,omitempty"`
	Scope      []string  `bson:"scope,omitempty"`
	Audience   []string  `bson:"audience,omitempty"`
	CreatedAt  time.Time `bson:"created_at"`
	ExpiresAt  time.Time `bson:"expires_at"`
	ConsumedAt time.Time `bson:"consumed_at,omitempty"`
}

// LogoutDelivery is one logout token on its way to one application (OIDC Back-Channel Logout §2.5). It is kept until
// it arrived or was given up, so that a restart forgets nobody.
type LogoutDelivery struct {
	ID          string    `bson:"_id"`
	LogoutID    string    `bson:"logout_id"` // what the signed-out page asks by
	ClientID    string    `bson:"client_id"`
	SessionID   string    `bson:"session_id"`
	Subject     string    `bson:"subject"` // sub as this client knows it
	Attempts    int       `bson:"attempts"`
	NextAt      time.Time `bson:"next_at"`    // not to be tried before; moved ahead while somebody tries
	ExpiresAt   time.Time `bson:"expires_at"` // given up from then on
	DeliveredAt time.Time `bson:"delivered_at,omitempty"`
	LastError   string    `bson:"last_error,omitempty"`
	CreatedAt   time.Time `bson:"created_at"`
}
