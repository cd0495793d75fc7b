package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// MaxSector bounds what a sector_identifier_uri leads to, in bytes.
const MaxSector = 64 << 10

// NewClient is a client that is to be created.
type NewClient struct {
	// Client is what is to be stored. ID "" gets a random one. Secrets, times and Version in it are
	// not used.
	clients.Client
	// Secret is the client secret that it brings along. Without it, a client that needs one gets a
	// new one.
	Secret string
	// Policy is what may be registered; the zero value is an administrator's.
	Policy clients.Policy
	// Check, if not nil, is called with a client that is valid by itself, before anything is called
	// for it or stored: to look at its addresses, say.
	Check func(ctx context.Context, c clients.Client) error
	// Spend, if not nil, is called when nothing is left to refuse: it uses up what permits the
	// registration.
	Spend func(ctx context.Context) error
}

// clientRecord is a client in the audit log.
type clientRecord struct {
	clients.Client
	Secret    string   `json:"client_secret,omitempty"` // a word, never the secret
	UpdatedAt struct{} `json:"updated_at,omitzero"`
}

// clientObject is a client that has been looked at.
func clientObject(c clients.Client) object {
	return object{EventParty: storage.EventParty{Kind: "client", ID: c.ID, Name: c.Name()}, seen: true,
		ownerGroups: c.OwnerGroups}
}

// changedClient is a client about which something is to be decided.
func (a *Admin) changedClient(c clients.Client) object {
	o := clientObject(c)
	o.administers = a.Resource != "" && slices.Contains(c.Audience, a.Resource)
	return o
}

// policy is what an administrator may register.
func (a *Admin) policy() clients.Policy {
	return clients.Policy{AllowNone: a.AllowNone, GrantTypes: a.GrantTypes}
}

// client is a client by its client_id, or ErrNotFound.
func (a *Admin) client(ctx context.Context, id string) (clients.Client, error) {
	c, err := a.Store.Client(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return c, &ObjectError{Err: ErrNotFound, Kind: "client", Name: id}
	}
	return c, err
}

// checkClient says all that is wrong with a client that is about to be stored, and returns it with
// defaults and what else follows from what is said about it. was is the client as it is stored, its
// zero value if it is new. check, if not nil, comes before anything is called.
func (a *Admin) checkClient(ctx context.Context, was, c clients.Client, pol clients.Policy, check func(context.Context,
	clients.Client) error) (clients.Client, error) {
	ready, err := clients.Prepare(c, pol)
	var faults Faults
	if err := faults.collect(metadataFaultsOrNil(err)); err != nil {
		return c, err
	}
	if err := faults.collect(a.checkGroupsExist(ctx, "allowed_groups",
		newIn(was.AllowedGroups, c.AllowedGroups))); err != nil {
		return c, err
	}
	if err := faults.collect(a.checkGroupsExist(ctx, "owner_groups",
		newIn(was.OwnerGroups, c.OwnerGroups))); err != nil {
		return c, err
	}
	if err := faults.orNil(); err != nil {
		return c, err
	}
	if check != nil {
		if err := check(ctx, ready); err != nil {
			return c, err
		}
	}
	if ready.SectorIdentifierURI != was.SectorIdentifierURI || !slices.Equal(ready.RedirectURIs, was.RedirectURIs) {
		if err := a.checkSector(ctx, ready); err != nil {
			return c, metadataFaults(err)
		}
	}
	return ready, nil
}

func metadataFaultsOrNil(err error) error {
	if err == nil {
		return nil
	}
	return metadataFaults(err)
}

// checkSector insists that the owner of the sector lists every redirect URI (OIDC Core §8.1,
// OIDC Registration §5). There is one answer to all that can be wrong, so that it tells nothing
// about the network of the provider.
func (a *Admin) checkSector(ctx context.Context, c clients.Client) error {
	if c.SectorIdentifierURI == "" {
		return nil
	}
	refuse := func(cause error) error {
		return oauth.Errorf(oauth.InvalidClientMetadata,
			"sector_identifier_uri must lead to a JSON array that contains every one of the redirect_uris (OpenID Connect Registration section 5)").Because(cause)
	}
	body, err := a.Outbound.Get(ctx, c.SectorIdentifierURI, MaxSector, "application/json")
	if err != nil {
		return refuse(err)
	}
	var listed []string
	if err := json.Unmarshal(body, &listed); err != nil {
		return refuse(err)
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return refuse(fmt.Errorf("%q is not among the %d addresses there", uri, len(listed)))
		}
	}
	return nil
}

// EnsureKeys makes the keys that the client's metadata needs and the provider does not have yet: to
// sign for it, and for it to encrypt to.
func EnsureKeys(ctx context.Context, ring *keys.Ring, m clients.Metadata) error {
	for _, need := range [][2]string{
		{keys.UseSignature, m.IDTokenSignedResponseAlg}, {keys.UseSignature, m.UserinfoSignedResponseAlg},
		{keys.UseSignature, m.AccessTokenSignedResponseAlg}, {keys.UseEncryption, m.RequestObjectEncryptionAlg},
	} {
		if need[1] == "" || need[1] == "none" {
			continue
		}
		if err := ring.EnsureAlgorithm(ctx, need[0], need[1]); err != nil {
			return fmt.Errorf("make key for %s: %w", need[1], err)
		}
	}
	return nil
}

// settleSecret makes the client's secret fit the way in which it authenticates: none where it needs
// none, brought if there is one, a new one where one is missing. It returns the value if it is new,
// "" if the client keeps what it had.
func (a *Admin) settleSecret(c *clients.Client, brought string) (string, error) {
	needsValue := c.TokenEndpointAuthMethod == oauth.AuthClientSecretJWT
	switch {
	case !c.UsesSecret():
		c.SecretHash, c.SealedSecret, c.SecretExpiresAt = nil, nil, time.Time{}
		if brought != "" {
			return "", Faults{{Field: "client_secret", Reason: Unwanted,
				Text: "is not for a client with token_endpoint_auth_method " + c.TokenEndpointAuthMethod}}
		}
		return "", nil
	case brought != "":
		if a.HasSecret(*c, brought) {
			return "", nil
		}
	case len(c.SecretHash) == 0 || needsValue && len(c.SealedSecret) == 0:
		brought = clients.NewSecret()
	default:
		if !needsValue {
			c.SealedSecret = nil
		}
		return "", nil
	}
	if err := c.SetSecret(brought, a.secrets, a.Sealer); err != nil {
		var refusal *oauth.Error
		if errors.As(err, &refusal) {
			return "", Faults{{Field: "client_secret", Reason: Invalid, Text: strings.TrimPrefix(refusal.Description,
				"a client secret "), Err: refusal}}
		}
		return "", err
	}
	return brought, nil
}

// HasSecret reports whether the client has this secret, in the form that its way of authenticating
// needs.
func (a *Admin) HasSecret(c clients.Client, secret string) bool {
	if !a.secrets.Check(c, secret, a.Now()) {
		return false
	}
	if c.TokenEndpointAuthMethod != oauth.AuthClientSecretJWT {
		return true
	}
	value, err := a.Sealer.Open(c.SealedSecret, clients.SealedSecretData(c.ID))
	return err == nil && string(value) == secret
}

// CreateClient stores a new client and returns it with its secret, "" if it has none. The secret
// cannot be read again. Faults if anything is wrong with it, ErrTaken if there is one with that
// client_id.
func (a *Admin) CreateClient(ctx context.Context, actor Actor, n NewClient) (clients.Client, string, error) {
	if err := a.permit(ctx, actor, VerbClientCreate, of("client", n.ID)); err != nil {
		return n.Client, "", err
	}
	// 1. What is said about it.
	draft, pol := n.Client, n.Policy
	if !pol.Dynamic {
		pol = a.policy()
		draft.Metadata = clients.WithDefaults(draft.Type, draft.Metadata)
	}
	if draft.ID == "" {
		draft.ID = clients.NewID()
	}
	draft.SecretHash, draft.SealedSecret, draft.SecretExpiresAt = nil, nil, time.Time{}
	c, err := a.checkClient(ctx, clients.Client{}, draft, pol, n.Check)
	if err != nil {
		return draft, "", err
	}
	// 2. Secret and keys.
	secret, err := a.settleSecret(&c, n.Secret)
	if err != nil {
		return draft, "", err
	}
	c.CreatedAt, c.Version = a.timestamp(), 1
	c.UpdatedAt = c.CreatedAt
	if err := EnsureKeys(ctx, a.Keys, c.Metadata); err != nil {
		return c, "", err
	}
	// 3. What permits it, and the record itself.
	record := clientRecord{Client: c}
	if secret != "" {
		record.Secret = "set"
	}
	if actor.Kind == storage.ActorClient && actor.ID == "" {
		actor.Name = c.Name()
	}
	err = a.change(ctx, actor, VerbClientCreate, a.changedClient(c), nil, record, func() error {
		if n.Spend != nil {
			if err := n.Spend(ctx); err != nil {
				return err
			}
		}
		if err := a.Store.CreateClient(ctx, c); err != nil {
			return err
		}
		return a.takeBackIfGroupsLost(ctx, clients.Client{}, c, func(ctx context.Context) error {
			return a.Store.DeleteClient(ctx, c.ID, a.timestamp())
		})
	})
	if errors.Is(err, storage.ErrConflict) {
		return c, "", &ObjectError{Err: ErrTaken, Kind: "client", Name: c.ID}
	}
	return c, secret, err
}

// ClientChange is a change of a stored client.
type ClientChange struct {
	Seen int64 // the version that the change rests on, 0 for any
	// Change may be called several times, each time with the client as it is now.
	Change func(*clients.Client) error
	// Secret is the client secret that it brings along, "" to keep the one it has.
	Secret string
	// Policy and Check are as in NewClient.
	Policy clients.Policy
	Check  func(ctx context.Context, c clients.Client) error
}

// UpdateClient changes a client, and returns it with its secret if it got a new one.
func (a *Admin) UpdateClient(ctx context.Context, actor Actor, id string, n ClientChange) (clients.Client, string,
	error) {
	return a.changeClient(ctx, actor, VerbClientUpdate, id, n)
}

func (a *Admin) changeClient(ctx context.Context, actor Actor, verb, id string, n ClientChange) (clients.Client, string,
	error) {
	if err := a.permit(ctx, actor, verb, of("client", id)); err != nil {
		return clients.Client{}, "", err
	}
	h, err := a.holder(ctx, actor)
	if err != nil {
		return clients.Client{}, "", err
	}
	var secret string
	pol := n.Policy
	if !pol.Dynamic {
		pol = a.policy()
	}
	c, err := swap(n.Seen, func(c clients.Client) int64 { return c.Version },
		func() (clients.Client, error) { return a.client(ctx, id) },
		func(c *clients.Client) error {
			was := *c
			if err := a.permit(ctx, actor, verb, a.changedClient(was)); err != nil {
				return err
			}
			if n.Change != nil {
				if err := n.Change(c); err != nil {
					return err
				}
			}
			c.ID, c.CreatedAt, c.Version = was.ID, was.CreatedAt, was.Version
			if !n.Policy.Dynamic {
				c.UnusedUntil = time.Time{} // an administrator takes it on
			}
			if n.Change != nil {
				ready, err := a.checkClient(ctx, was, *c, pol, n.Check)
				if err != nil {
					return err
				}
				*c = ready
			}
			if !onlyDisables(was, *c) {
				if err := a.unmanaged(ctx, actor, verb, clientObject(was)); err != nil {
					return err
				}
			}
			if h.ownedClients() {
				if err := checkByOwner(was, *c); err != nil {
					return err
				}
				if err := a.checkGroupsByOwner(ctx, h, was, *c); err != nil {
					return err
				}
			}
			if err := a.permit(ctx, actor, verb, a.changedClient(*c)); err != nil {
				return err
			}
			brought := n.Secret
			if brought == "" {
				brought = secret // made in an earlier turn
			}
			made, err := a.settleSecret(c, brought)
			if made != "" {
				secret = made
			}
			return err
		},
		func(before clients.Client, after *clients.Client) error {
			after.UpdatedAt = a.timestamp()
			if err := EnsureKeys(ctx, a.Keys, after.Metadata); err != nil {
				return err
			}
			from, to := clientRecord{Client: before}, clientRecord{Client: *after}
			switch {
			case string(before.SecretHash) == string(after.SecretHash) &&
				(before.SealedSecret == nil) == (after.SealedSecret == nil):
			case len(after.SecretHash) == 0:
				to.Secret = "removed"
			default:
				to.Secret = "changed"
			}
			return a.change(ctx, actor, verb, a.changedClient(before), from, to, func() error {
				err := a.Store.UpdateClient(ctx, *after)
				after.Version++
				if err != nil {
					return err
				}
				return a.takeBackIfGroupsLost(ctx, before, *after, func(ctx context.Context) error {
					return a.restoreGroups(ctx, before, *after)
				})
			})
		})
	switch {
	case errors.Is(err, ErrConflict):
		return c, "", &ObjectError{Err: ErrConflict, Kind: "client", Name: id}
	case errors.Is(err, storage.ErrNotFound):
		return c, "", &ObjectError{Err: ErrNotFound, Kind: "client", Name: id}
	case err != nil:
		return c, "", err
	}
	return c, secret, nil
}

// takeBackIfGroupsLost looks, when a client is stored, for the groups that it has come to name: one
// may have been deleted at the same moment. The client is then made what it was, and the answer is
// that there is no such group.
func (a *Admin) takeBackIfGroupsLost(ctx context.Context, was, is clients.Client,
	takeBack func(context.Context) error) error {
	var faults Faults
	for _, names := range []struct {
		field string
		added []string
	}{{"allowed_groups", newIn(was.AllowedGroups, is.AllowedGroups)},
		{"owner_groups", newIn(was.OwnerGroups, is.OwnerGroups)}} {
		if err := faults.collect(a.checkGroupsExist(ctx, names.field, names.added)); err != nil {
			return err
		}
	}
	if len(faults) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followWithin)
	defer cancel()
	if err := takeBack(ctx); err != nil && !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("take back the groups of client %s: %w", is.ID, err)
	}
	return faults
}

// restoreGroups puts back which groups a client names, unless another administrator has changed
// that since.
func (a *Admin) restoreGroups(ctx context.Context, was, is clients.Client) error {
	_, err := swap(0, func(c clients.Client) int64 { return c.Version },
		func() (clients.Client, error) { return a.client(ctx, is.ID) },
		func(c *clients.Client) error {
			if slices.Equal(c.AllowedGroups, is.AllowedGroups) {
				c.AllowedGroups = was.AllowedGroups
			}
			if slices.Equal(c.OwnerGroups, is.OwnerGroups) {
				c.OwnerGroups = was.OwnerGroups
			}
			return nil
		},
		func(_ clients.Client, c *clients.Client) error { return a.Store.UpdateClient(ctx, *c) })
	return err
}

// RotateSecret gives a client another secret, brought or new, and returns it. The old one stops
// working at once.
func (a *Admin) RotateSecret(ctx context.Context, actor Actor, id, brought string) (clients.Client, string, error) {
	if brought == "" {
		brought = clients.NewSecret()
	}
	c, _, err := a.changeClient(ctx, actor, VerbClientSecret, id, ClientChange{Secret: brought})
	return c, brought, err
}

// DeleteClient removes a client for good, with all that users granted it.
func (a *Admin) DeleteClient(ctx context.Context, actor Actor, id string) error {
	if err := a.permit(ctx, actor, VerbClientDelete, of("client", id)); err != nil {
		return err
	}
	c, err := a.client(ctx, id)
	if err != nil {
		return err
	}
	if err := a.unmanaged(ctx, actor, VerbClientDelete, clientObject(c)); err != nil {
		return err
	}
	err = a.change(ctx, actor, VerbClientDelete, a.changedClient(c), clientRecord{Client: c}, nil,
		func() error { return a.Store.DeleteClient(ctx, id, a.timestamp()) })
	if errors.Is(err, storage.ErrNotFound) {
		return &ObjectError{Err: ErrNotFound, Kind: "client", Name: id}
	}
	return err
}
