package console

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/storage"
)

// table is every operation of the API.
func (c *Console) table() []operation {
	var all []operation
	for _, part := range [][]operation{c.peopleTable(), c.groupsTable(), c.applicationsTable(), c.sessionsTable(),
		c.tokensTable(), c.keysTable(), c.providerTable(), c.doctorTable(), c.previewTable(),
		c.manifestsTable()} {
		all = append(all, part...)
	}
	for i := range all {
		all[i].scope = verbScope[all[i].verb]
	}
	return all
}

// InitialAccessToken permits one registration (RFC 7591 §3).
type InitialAccessToken struct {
	ID        string     `json:"id"`
	Token     string     `json:"token,omitempty" jsonschema:"there once, when it is made, and cannot be read again"`
	IssuedBy  string     `json:"issued_by,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

// NewToken is an initial access token that is to be made.
type NewToken struct {
	ExpiresIn int64 `json:"expires_in" jsonschema:"seconds, from one minute to one year"`
}

// APIKey is a key of the API, without its value.
type APIKey struct {
	ID        string     `json:"id"`
	Sub       string     `json:"sub" jsonschema:"in whose name it acts"`
	Name      string     `json:"name"`
	Scope     []string   `json:"scope"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	LastUsed  *time.Time `json:"last_used,omitempty"`
	LastFrom  string     `json:"last_from,omitempty" jsonschema:"the IP address of its last use"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

func apiKeyOf(k storage.APIKey) APIKey {
	return APIKey{ID: k.ID, Sub: k.UserID, Name: k.Name, Scope: listOf(k.Scope), CreatedAt: k.CreatedAt,
		ExpiresAt: k.ExpiresAt,
		LastUsed:  optional(k.LastUsed), LastFrom: k.LastFrom, RevokedAt: optional(k.RevokedAt)}
}

// optional is a time that is left out when it is zero.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// maxTokenLife is how long an initial access token may live.
const maxTokenLife = 365 * 24 * time.Hour

// tokensTable are the operations about initial access tokens and API keys.
func (c *Console) tokensTable() []operation {
	return []operation{
		{id: "listInitialAccessTokens", method: http.MethodGet, path: "/initial-access-tokens",
			verb: admin.VerbTokenRead, summary: "List the tokens that permit a registration, the newest first",
			answer: typeOf[page[InitialAccessToken]](), do: func(cl *call) (any, error) {
				found, err := c.Admin.InitialAccessTokens(cl.ctx, cl.who.actor)
				return whole(found, func(t storage.Token) InitialAccessToken {
					return InitialAccessToken{ID: t.Hash, IssuedBy: t.IssuedBy, CreatedAt: t.CreatedAt,
						ExpiresAt: t.ExpiresAt, UsedAt: optional(t.ConsumedAt)}
				}), err
			}},
		{id: "createInitialAccessToken", method: http.MethodPost, path: "/initial-access-tokens",
			verb: admin.VerbTokenCreate, summary: "Make a token that permits one registration",
			body: typeOf[NewToken](), answer: typeOf[InitialAccessToken](), created: true, once: true,
			do: func(cl *call) (any, error) {
				seconds := body[NewToken](cl).ExpiresIn
				if seconds < 60 || seconds > int64(maxTokenLife/time.Second) {
					return nil, admin.Faults{{Field: "expires_in", Reason: admin.Invalid,
						Text: "must be from 60 to 31536000 seconds"}}
				}
				value, expires, err := c.Admin.CreateInitialAccessToken(cl.ctx, cl.who.actor,
					time.Duration(seconds)*time.Second)
				return InitialAccessToken{ID: storage.Hash(value), Token: value, IssuedBy: cl.who.actor.Name,
					CreatedAt: c.Web.Now(), ExpiresAt: expires}, err
			}},
		{id: "revokeInitialAccessToken", method: http.MethodDelete, path: "/initial-access-tokens/{token}",
			verb: admin.VerbTokenRevoke, summary: "Make a token that permits a registration good for nothing",
			do: func(cl *call) (any, error) {
				return nil, c.Admin.RevokeInitialAccessToken(cl.ctx, cl.who.actor, cl.path["token"])
			}},
		{id: "listAPIKeys", method: http.MethodGet, path: "/api-keys", verb: admin.VerbAPIKeyRead,
			summary: "List the keys of this API, from the oldest on",
			answer:  typeOf[page[APIKey]](), listed: true, do: func(cl *call) (any, error) {
				found, err := c.Admin.APIKeys(cl.ctx, cl.who.actor, cl.cursor, cl.limit+1)
				if err != nil {
					return nil, err
				}
				return cut(cl, found, func(k storage.APIKey) string { return k.ID }, apiKeyOf), nil
			}},
		{id: "revokeAPIKey", method: http.MethodDelete, path: "/api-keys/{key}", verb: admin.VerbAPIKeyRevoke,
			summary: "Make a key of this API good for nothing",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.RevokeAPIKey(cl.ctx, cl.who.actor, cl.path["key"])
				return nil, err
			}},
	}
}

// States of a key of the provider.
const (
	keyActive  = "active"  // signs, or decrypts
	keyNext    = "next"    // published, signs later
	keyRetired = "retired" // published until its last token has expired
	keyHints   = "hints"   // not published any more; recognises ID tokens that come back as id_token_hint
	keyRevoked = "revoked" // refused everywhere; only its kid is remembered
)

// Key is a key of the provider, without its private part.
type Key struct {
	ID          string     `json:"kid"`
	Use         string     `json:"use" jsonschema:"sig or enc"`
	Algorithm   string     `json:"alg"`
	State       string     `json:"state" jsonschema:"active, next, retired, hints or revoked"`
	CreatedAt   *time.Time `json:"created_at,omitempty"`
	SignsFrom   *time.Time `json:"signs_from,omitempty"`
	RetiredAt   *time.Time `json:"retired_at,omitempty"`
	UnpublishAt *time.Time `json:"unpublish_at,omitempty"`
	RemoveAt    *time.Time `json:"remove_at,omitempty"`
	RevokedAt   *time.Time `json:"revoked_at,omitempty"`
}

func keyOf(k keys.StoredKey, now time.Time) Key {
	out := Key{ID: k.ID, Use: k.Use, Algorithm: k.Algorithm, State: keyActive, CreatedAt: optional(k.CreatedAt),
		SignsFrom: optional(k.SignsFrom),
		RetiredAt: optional(k.RetiredAt), UnpublishAt: optional(k.UnpublishAt), RemoveAt: optional(k.RemoveAt)}
	switch {
	case k.Use == keys.UseSignature && !k.UnpublishAt.IsZero() && !now.Before(k.UnpublishAt):
		out.State = keyHints
	case !k.RetiredAt.IsZero() && !now.Before(k.RetiredAt): // until then it signs, and the next one waits
		out.State = keyRetired
	case k.Use == keys.UseSignature && (k.SignsFrom.IsZero() || now.Before(k.SignsFrom)):
		out.State = keyNext
	}
	return out
}

// Rotate says which keys to rotate.
type Rotate struct {
	Algorithms []string `json:"algorithms,omitempty" jsonschema:"none: all signing algorithms"`
}

// Revoked says what became of a revocation.
type Revoked struct {
	Revoked []string `json:"revoked"`
	Fresh   []string `json:"fresh" jsonschema:"the keys that were made in their place"`
}

// providerKeys are all keys, and those that were revoked lately.
func (c *Console) providerKeys(ctx context.Context, actor admin.Actor) ([]Key, error) {
	stored, revoked, err := c.Admin.ProviderKeys(ctx, actor)
	if err != nil {
		return nil, err
	}
	all := []Key{}
	for _, k := range stored {
		all = append(all, keyOf(k, c.Web.Now()))
	}
	for _, k := range revoked {
		all = append(all, Key{ID: k.ID, Use: k.Use, Algorithm: k.Algorithm, State: keyRevoked,
			RevokedAt: optional(k.RevokedAt)})
	}
	return all, nil
}

// keysTable are the operations about the provider's keys.
func (c *Console) keysTable() []operation {
	return []operation{
		{id: "listKeys", method: http.MethodGet, path: "/keys", verb: admin.VerbKeysRead,
			summary: "List the provider's keys, and those that were revoked within a year",
			answer:  typeOf[page[Key]](), do: func(cl *call) (any, error) {
				all, err := c.providerKeys(cl.ctx, cl.who.actor)
				return &page[Key]{Items: all}, err
			}},
		{id: "rotateKeys", method: http.MethodPost, path: "/key-rotations", verb: admin.VerbKeysRotate,
			summary: "Let the next key sign from now on, and publish a new next one",
			body:    typeOf[Rotate](), answer: typeOf[page[Key]](), once: true, do: func(cl *call) (any, error) {
				algorithms := body[Rotate](cl).Algorithms
				if err := checkAlgorithms(algorithms); err != nil {
					return nil, err
				}
				changed, err := c.Admin.RotateKeys(cl.ctx, cl.who.actor, algorithms...)
				return whole(changed, func(k keys.StoredKey) Key { return keyOf(k, c.Web.Now()) }), err
			}},
		{id: "revokeKey", method: http.MethodDelete, path: "/keys/{kid}", verb: admin.VerbKeysRevoke,
			summary: "Withdraw a key that somebody may have seen; every token that it signed is refused from then on",
			answer:  typeOf[Revoked](), do: func(cl *call) (any, error) {
				done, err := c.Admin.RevokeKeys(cl.ctx, cl.who.actor, false, cl.path["kid"])
				out := Revoked{Revoked: []string{}, Fresh: []string{}}
				for _, k := range done.Revoked {
					out.Revoked = append(out.Revoked, k.ID)
				}
				for _, k := range done.Fresh {
					out.Fresh = append(out.Fresh, k.ID)
				}
				return out, err
			}},
	}
}

// Event is an entry of the audit log.
type Event struct {
	ID      string          `json:"id"`
	Time    time.Time       `json:"time"`
	Actor   Party           `json:"actor"`
	Verb    string          `json:"verb"`
	Object  Party           `json:"object"`
	Outcome string          `json:"outcome" jsonschema:"begun, done or refused"`
	Reason  string          `json:"reason,omitempty"`
	Count   int             `json:"count,omitempty" jsonschema:"how many like it this one stands for"`
	Before  json.RawMessage `json:"before,omitempty" jsonschema:"the fields that were changed, as they were"`
	After   json.RawMessage `json:"after,omitempty" jsonschema:"the same fields after it"`
	Client  string          `json:"client,omitempty"`
	Session string          `json:"session,omitempty"`
	Request string          `json:"request,omitempty"`
	Address string          `json:"address,omitempty"`
}

// Party is who did something, or what it was done to.
type Party struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty" jsonschema:"as it was at the time"`
}

func eventOf(e storage.Event) Event {
	return Event{ID: e.ID, Time: e.Time, Actor: Party(e.Actor), Verb: e.Verb, Object: Party(e.Object),
		Outcome: e.Outcome, Reason: e.Reason, Count: e.Count,
		Before: e.Before, After: e.After, Client: e.ClientID, Session: e.SessionID, Request: e.RequestID,
		Address: e.Address}
}

// Mail is a mail of the queue: what it is about, and what became of it. Its text is written when it
// is sent, and is in no record.
type Mail struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	Sub       string     `json:"sub,omitempty"`
	Attempts  int        `json:"attempts"`
	State     string     `json:"state" jsonschema:"waiting, sent or failed"`
	LastError string     `json:"last_error,omitempty"`
	NextAt    *time.Time `json:"next_at,omitempty"`
	DoneAt    *time.Time `json:"done_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
}

// States of a mail.
const (
	mailWaiting = "waiting"
	mailSent    = "sent"
	mailFailed  = "failed"
)

func (c *Console) mailOf(m storage.Mail) Mail {
	out := Mail{ID: m.ID, Kind: m.Kind, Sub: m.UserID, Attempts: m.Attempts, State: mailWaiting, LastError: m.LastError,
		DoneAt: optional(m.DoneAt), CreatedAt: m.CreatedAt}
	switch {
	case !m.DoneAt.IsZero() && m.LastError == "":
		out.State = mailSent
	case !m.DoneAt.IsZero() || !c.Web.Now().Before(m.ExpiresAt):
		out.State = mailFailed
	default:
		out.NextAt = optional(m.NextAt)
	}
	return out
}

// Health is the state of the provider.
type Health struct {
	Issuer  string            `json:"issuer"`
	Version string            `json:"version"`
	Time    time.Time         `json:"time"`
	Checks  map[string]string `json:"checks" jsonschema:"ok, or unavailable"`
	Mail    bool              `json:"mail" jsonschema:"mails are sent"`
}

// Me is who calls, and with what.
type Me struct {
	Sub      string   `json:"sub"`
	Username string   `json:"username"`
	Role     string   `json:"role,omitempty"`
	Scope    []string `json:"scope"`
}

// providerTable are the operations about the provider itself.
func (c *Console) providerTable() []operation {
	return []operation{
		{id: "listEvents", method: http.MethodGet, path: "/events", verb: admin.VerbAuditRead,
			summary: "List the audit log, the newest first",
			query: []parameter{{name: "actor", about: "identifier or name of who did it"},
				{name: "object", about: "identifier or name of what it was done to"},
				{name: "verb", about: "what the verb begins with, such as client."},
				{name: "since", about: "at or after", format: "date-time"}, {name: "until", about: "before",
					format: "date-time"}},
			answer: typeOf[page[Event]](), listed: true, do: func(cl *call) (any, error) {
				f := storage.EventFilter{Actor: cl.query.Get("actor"), Object: cl.query.Get("object"),
					VerbPrefix: cl.query.Get("verb")}
				var err error
				if f.Since, err = cl.time("since"); err != nil {
					return nil, err
				}
				if f.Until, err = cl.time("until"); err != nil {
					return nil, err
				}
				found, err := c.Admin.Events(cl.ctx, cl.who.actor, f, cl.cursor, cl.limit+1)
				if err != nil {
					return nil, err
				}
				return cut(cl, found, func(e storage.Event) string { return e.ID }, eventOf), nil
			}},
		{id: "listMails", method: http.MethodGet, path: "/mails", verb: admin.VerbMailRead,
			summary: "List the mail queue and what became of mails, from the oldest on",
			answer:  typeOf[page[Mail]](), listed: true, do: func(cl *call) (any, error) {
				found, err := c.Admin.Mails(cl.ctx, cl.who.actor, cl.cursor, cl.limit+1)
				if err != nil {
					return nil, err
				}
				return cut(cl, found, func(m storage.Mail) string { return m.ID }, c.mailOf), nil
			}},
		{id: "getHealth", method: http.MethodGet, path: "/health", verb: admin.VerbHealthRead,
			summary: "Read the state of the provider",
			answer:  typeOf[Health](), do: func(cl *call) (any, error) { return c.health(cl.ctx, cl.who.actor) }},
		{id: "getMe", method: http.MethodGet, path: "/me", summary: "Read who calls, and with what",
			answer: typeOf[Me](), do: func(cl *call) (any, error) {
				u := cl.who.user
				return Me{Sub: u.ID, Username: u.Username, Role: u.Role, Scope: listOf(cl.who.scope)}, nil
			}},
	}
}

// healthWithin bounds how long each check may take.
const healthWithin = 2 * time.Second

// health asks everything that the provider depends on.
func (c *Console) health(ctx context.Context, actor admin.Actor) (Health, error) {
	h := Health{Issuer: c.Web.Issuer, Version: c.Version, Time: c.Web.Now(), Checks: map[string]string{}, Mail: c.Mail}
	if err := c.Admin.MayReadHealth(ctx, actor); err != nil {
		return h, err
	}
	for _, check := range c.Ready {
		asking, cancel := context.WithTimeout(ctx, healthWithin)
		h.Checks[check.Name] = "ok"
		if check.Ask(asking) != nil {
			h.Checks[check.Name] = "unavailable"
		}
		cancel()
	}
	return h, nil
}
