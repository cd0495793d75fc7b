package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// Verbs about API keys.
const (
	VerbAPIKeyCreate = "api_key.create"
	VerbAPIKeyRevoke = "api_key.revoke"
	VerbAPIKeyRead   = "api_key.read"
)

// apiKeyPrefix begins the value of every API key, so that tools which look for leaked secrets know
// one.
const apiKeyPrefix = "lkk_"

// MaxAPIKeyLife is how long an API key may live.
const MaxAPIKeyLife = 366 * 24 * time.Hour

// maxAPIKeys bounds the keys of one user that are good at the same time.
const maxAPIKeys = 50

// ParseAPIKey takes the value of an API key apart. It reports false for what is none.
func ParseAPIKey(value string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(value, apiKeyPrefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, ".")
	return id, secret, ok && id != "" && secret != ""
}

// NewAPIKey is an API key that is to be made.
type NewAPIKey struct {
	UserID string // in whose name it acts, and with whose role
	Name   string // what it is for
	Scope  []string
	Life   time.Duration // at most MaxAPIKeyLife
}

// apiKeyRecord is an API key in the audit log.
type apiKeyRecord struct {
	UserID    string    `json:"user"`
	Name      string    `json:"name"`
	Scope     []string  `json:"scope"`
	ExpiresAt time.Time `json:"expires_at"`
}

// apiKeyObject is a key of a user, who has this role.
func apiKeyObject(k storage.APIKey, role string) object {
	o := withName(of("api_key", k.ID), k.Name)
	o.seen, o.role, o.keyOf = true, role, k.UserID
	return o
}

// CreateAPIKey makes an API key and returns its value, which is not stored and cannot be read
// again. scopes are those that there are. Faults if anything is wrong with it.
func (a *Admin) CreateAPIKey(ctx context.Context, actor Actor, n NewAPIKey, scopes []string) (k storage.APIKey,
	value string, err error) {
	asked := of("api_key", "")
	asked.keyOf = n.UserID
	if err := a.permit(ctx, actor, VerbAPIKeyCreate, asked); err != nil {
		return k, "", err
	}
	user, err := a.userByID(ctx, n.UserID)
	if err != nil {
		return k, "", err
	}
	asked.seen, asked.role = true, user.Role
	if err := a.permit(ctx, actor, VerbAPIKeyCreate, asked); err != nil {
		return k, "", err
	}
	var faults Faults
	name := strings.TrimSpace(n.Name)
	if name == "" || len(name) > 100 || clients.CheckText(name) != nil {
		faults = append(faults, Fault{Field: "name", Reason: Invalid,
			Text: "must be a name of 1 to 100 bytes that says what the key is for"})
	}
	scope := sortedSet(n.Scope)
	if len(scope) == 0 {
		faults = append(faults, Fault{Field: "scope", Reason: Missing, Text: "must name at least one scope"})
	}
	for _, s := range scope {
		if !slices.Contains(scopes, s) {
			faults = append(faults, Fault{Field: "scope", Reason: Unknown, Value: s, Text: "is not a scope of the API"})
		}
	}
	if n.Life < time.Minute || n.Life > MaxAPIKeyLife {
		faults = append(faults, Fault{Field: "expires_in", Reason: Invalid,
			Text: "must be from one minute to 366 days"})
	}
	if err := faults.orNil(); err != nil {
		return k, "", err
	}
	now := a.timestamp()
	own, err := a.Store.APIKeysOfUser(ctx, user.ID)
	if err != nil {
		return k, "", err
	}
	if len(slices.DeleteFunc(own, func(k storage.APIKey) bool { return !k.Valid(now) })) >= maxAPIKeys {
		return k, "", Faults{{Field: "user", Reason: Invalid,
			Text: "has as many keys as there can be; revoke one first"}}
	}
	secret, hash := storage.NewSecret()
	k = storage.APIKey{ID: storage.NewID(now), SecretHash: hash, UserID: user.ID, Name: name, Scope: scope,
		CreatedAt: now, ExpiresAt: now.Add(n.Life), Version: 1}
	record := apiKeyRecord{user.ID, name, scope, k.ExpiresAt}
	err = a.change(ctx, actor, VerbAPIKeyCreate, apiKeyObject(k, user.Role), nil, record,
		func() error { return a.Store.CreateAPIKey(ctx, k) })
	return k, apiKeyPrefix + k.ID + "." + secret, err
}

// APIKeys returns keys from the oldest on, those that are over too, beginning after the one with
// the given ID, at most limit.
func (a *Admin) APIKeys(ctx context.Context, actor Actor, after string, limit int) ([]storage.APIKey, error) {
	if err := a.permit(ctx, actor, VerbAPIKeyRead, of("api_key", "")); err != nil {
		return nil, err
	}
	return a.Store.APIKeys(ctx, after, limit)
}

// RevokeAPIKey ends a key: it is good for nothing from now on. A key that was revoked before stays
// as it is. ErrNotFound if there is none.
func (a *Admin) RevokeAPIKey(ctx context.Context, actor Actor, id string) (storage.APIKey, error) {
	k, err := a.Store.APIKey(ctx, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return k, err
	}
	asked := of("api_key", id)
	asked.keyOf = k.UserID
	if err := a.permit(ctx, actor, VerbAPIKeyRevoke, asked); err != nil {
		return storage.APIKey{}, err
	}
	if k.ID == "" {
		return k, &ObjectError{Err: ErrNotFound, Kind: "api_key", Name: id}
	}
	user, err := a.Store.User(ctx, k.UserID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return k, err
	}
	if !k.RevokedAt.IsZero() {
		return k, nil
	}
	before := apiKeyRecord{k.UserID, k.Name, k.Scope, k.ExpiresAt}
	err = a.change(ctx, actor, VerbAPIKeyRevoke, apiKeyObject(k, user.Role), before, nil, func() error {
		k, err = a.Store.RevokeAPIKey(ctx, id, a.timestamp())
		if errors.Is(err, storage.ErrConsumed) {
			err = nil
		}
		return err
	})
	return k, err
}
