package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"latchkey/keys"
	"latchkey/provider/clients"
)

var _ Store = (*MongoDB)(nil)

// after, null and notAfter are conditions. null also matches where there is no such field, which is how the zero time is kept.
func after(t time.Time) bson.D    { return document("$gt", t) }
func notAfter(t time.Time) bson.D { return document("$lte", t) }

func sorted(by ...any) *options.FindOptionsBuilder { return options.Find().SetSort(document(by...)) }

// Users

func (m *MongoDB) CreateUser(ctx context.Context, u User) error {
	u.Version = 1
	return insert(ctx, "create user", m.users, u.ID, stored[User]{Record: u})
}

func (m *MongoDB) User(ctx context.Context, id string) (User, error) {
	return find[User](ctx, "load user", m.users, byID(id))
}

func (m *MongoDB) UserByUsername(ctx context.Context, username string) (User, error) {
	return find[User](ctx, "load user", m.users, document("username", username))
}

func (m *MongoDB) UpdateUser(ctx context.Context, u User) error {
	seen := u.Version
	u.Version++
	return swap(ctx, "update user", m.users, u.ID, seen, stored[User]{Record: u})
}

func (m *MongoDB) DeleteUser(ctx context.Context, id string) error {
	if _, err := m.User(ctx, id); err != nil {
		return err
	}
	// The user goes last: if this ends half way, it can be done again.
	if err := m.deleteMany(ctx, "delete consents of user", m.consents, document("user_id", id)); err != nil {
		return err
	}
	return m.deleteOne(ctx, "delete user", m.users, byID(id))
}

func (m *MongoDB) Users(ctx context.Context, after string, limit int) ([]User, error) {
	if limit < 1 {
		return nil, nil // to MongoDB, no limit
	}
	return findAll[User](ctx, "list users", m.users, document("username", document("$gt", after)),
		sorted("username", 1).SetLimit(int64(limit)))
}

// deleteOne removes a document, or returns ErrNotFound.
func (m *MongoDB) deleteOne(ctx context.Context, what string, c *mongo.Collection, filter bson.D) error {
	res, err := c.DeleteOne(ctx, filter)
	if err != nil {
		return wrap(what, err)
	}
	if res.DeletedCount == 0 {
		return ErrNotFound
	}
	return nil
}

func (m *MongoDB) deleteMany(ctx context.Context, what string, c *mongo.Collection, filter bson.D) error {
	return again(ctx, what, func(ctx context.Context) error {
		_, err := c.DeleteMany(ctx, filter)
		return err
	})
}

// Groups

func (m *MongoDB) PutGroup(ctx context.Context, g Group) error {
	var err error
	for range 3 {
		if _, err = m.groups.ReplaceOne(ctx, byID(g.Name), g, options.Replace().SetUpsert(true)); !mongo.IsDuplicateKeyError(err) {
			break
		}
	}
	return wrap("store group", err)
}

func (m *MongoDB) CreateGroup(ctx context.Context, g Group) error {
	g.Version = 1
	return insert(ctx, "create group", m.groups, g.Name, stored[Group]{Record: g})
}

func (m *MongoDB) UpdateGroup(ctx context.Context, g Group) error {
	seen := g.Version
	g.Version++
	return swap(ctx, "update group", m.groups, g.Name, seen, stored[Group]{Record: g})
}

func (m *MongoDB) Group(ctx context.Context, name string) (Group, error) {
	return find[Group](ctx, "load group", m.groups, byID(name))
}

func (m *MongoDB) Groups(ctx context.Context) ([]Group, error) {
	return findAll[Group](ctx, "list groups", m.groups, bson.D{}, sorted("_id", 1))
}

func (m *MongoDB) DeleteGroup(ctx context.Context, name string) error {
	return m.deleteOne(ctx, "delete group", m.groups, byID(name))
}

// Clients

func (m *MongoDB) CreateClient(ctx context.Context, c clients.Client) error {
	c.Version = 1
	return insert(ctx, "create client", m.clients, c.ID, stored[clients.Client]{Record: c})
}

func (m *MongoDB) Client(ctx context.Context, id string) (clients.Client, error) {
	return find[clients.Client](ctx, "load client", m.clients, byID(id))
}

func (m *MongoDB) UpdateClient(ctx context.Context, c clients.Client) error {
	seen := c.Version
	c.Version++
	return swap(ctx, "update client", m.clients, c.ID, seen, stored[clients.Client]{Record: c})
}

func (m *MongoDB) DeleteClient(ctx context.Context, id string, now time.Time) error {
	if _, err := m.Client(ctx, id); err != nil {
		return err
	}
	// The client goes last, so that this can be done again if it ends half way; then the grants once more, for those that were made
	// in between.
	if _, err := m.RevokeGrants(ctx, GrantFilter{ClientID: id}, now); err != nil {
		return err
	}
	if err := m.deleteMany(ctx, "delete consents to client", m.consents, document("client_id", id)); err != nil {
		return err
	}
	if err := m.deleteOne(ctx, "delete client", m.clients, byID(id)); err != nil {
		return err
	}
	_, err := m.RevokeGrants(ctx, GrantFilter{ClientID: id}, now)
	return err
}

func (m *MongoDB) Clients(ctx context.Context, after string, limit int) ([]clients.Client, error) {
	if limit < 1 {
		return nil, nil
	}
	return findAll[clients.Client](ctx, "list clients", m.clients, document("_id", document("$gt", after)),
		sorted("_id", 1).SetLimit(int64(limit)))
}

func (m *MongoDB) OriginAllowed(ctx context.Context, origin string) (bool, error) {
	_, err := find[struct{}](ctx, "look up origin", m.clients, document("cors_origins", origin, "disabled", nil))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// Sessions

func (m *MongoDB) CreateSession(ctx context.Context, s Session) error {
	return insert(ctx, "create session", m.sessions, s.ID, stored[Session]{Record: s, Purge: purgeField(s.purgeAt())})
}

func (m *MongoDB) Session(ctx context.Context, id string) (Session, error) {
	return find[Session](ctx, "load session", m.sessions, byID(id))
}

func (m *MongoDB) RenewSession(ctx context.Context, s Session, oldSecretHash string) error {
	_, err := decide(ctx, m, "renew session", m.sessions, s.ID,
		document("_id", s.ID, "secret_hash", oldSecretHash, "ended_at", nil),
		document("secret_hash", s.SecretHash, "auth_time", s.AuthTime, "amr", s.AMR, "acr", s.ACR, "remember", s.Remember,
			"last_seen", s.LastSeen, "idle_at", s.IdleAt, "expires_at", s.ExpiresAt, "purge", purgeField(s.purgeAt())),
		func(there Session) error {
			if !there.EndedAt.IsZero() || there.SecretHash != oldSecretHash {
				return ErrConflict
			}
			return nil
		})
	return err
}

func (m *MongoDB) TouchSession(ctx context.Context, id string, lastSeen, idleAt time.Time) error {
	_, err := m.sessions.UpdateOne(ctx, document("_id", id, "ended_at", nil),
		document("$max", document("last_seen", lastSeen, "idle_at", idleAt, "purge", purgeField(idleAt.Add(keepUsed)))))
	return wrap("touch session", err)
}

func (m *MongoDB) EndSession(ctx context.Context, id string, now time.Time) (Session, error) {
	return decide(ctx, m, "end session", m.sessions, id,
		document("_id", id, "ended_at", nil),
		document("ended_at", now, "purge", purgeField(now.Add(keepUsed))),
		func(there Session) error {
			if !there.EndedAt.IsZero() {
				return ErrConsumed
			}
			return nil
		})
}

func (m *MongoDB) SessionsOfUser(ctx context.Context, userID string, now time.Time) ([]Session, error) {
	all, err := findAll[Session](ctx, "list sessions", m.sessions, document("user_id", userID, "ended_at", nil), sorted("_id", 1))
	return validSessions(all, now), err
}

// Interactions

// interaction is removed by setting Finished: a removed document could not say which call removed it.
type interaction struct {
	Interaction `bson:",inline"`
	Finished    bool `bson:"finished,omitempty"`
}

func (m *MongoDB) CreateInteraction(ctx context.Context, i Interaction) error {
	i.Version = 1
	return insert(ctx, "create interaction", m.interactions, i.ID, stored[Interaction]{Record: i, Purge: purgeField(i.purgeAt())})
}

func (m *MongoDB) Interaction(ctx context.Context, id string) (Interaction, error) {
	return find[Interaction](ctx, "load interaction", m.interactions, document("_id", id, "finished", nil))
}

func (m *MongoDB) UpdateInteraction(ctx context.Context, i Interaction) error {
	seen := i.Version
	i.Version++
	err := swap(ctx, "update interaction", m.interactions, i.ID, seen, stored[Interaction]{Record: i, Purge: purgeField(i.purgeAt())})
	if err == ErrConflict {
		// A finished one is gone to everybody else.
		if _, err := m.Interaction(ctx, i.ID); err != nil {
			return err
		}
	}
	return err
}

func (m *MongoDB) FinishInteraction(ctx context.Context, id string) error {
	_, err := decide(ctx, m, "finish interaction", m.interactions, id,
		document("_id", id, "finished", nil),
		document("finished", true, "version", int64(-1)), // a version that nobody has seen, so that nobody updates it
		func(there interaction) error {
			if there.Finished {
				return ErrNotFound
			}
			return nil
		})
	return err
}

// Consents

func consentID(userID, clientID string) bson.D { return document("user", userID, "client", clientID) }

func (m *MongoDB) AddConsent(ctx context.Context, c Consent) error {
	change := document(
		"$setOnInsert", document("user_id", c.UserID, "client_id", c.ClientID, "created_at", c.CreatedAt),
		"$max", document("updated_at", c.UpdatedAt))
	var add bson.D
	for _, of := range []struct {
		field  string
		values []string
	}{{"scope", c.Scope}, {"claims", c.Claims}, {"resource", c.Resource}} {
		if len(of.values) > 0 {
			add = append(add, bson.E{Key: of.field, Value: document("$each", of.values)})
		}
	}
	if add != nil {
		change = append(change, bson.E{Key: "$addToSet", Value: add})
	}
	return wrap("add consent", m.upsert(ctx, m.consents, byID(consentID(c.UserID, c.ClientID)), change, nil))
}

func (m *MongoDB) Consent(ctx context.Context, userID, clientID string) (Consent, error) {
	return find[Consent](ctx, "load consent", m.consents, byID(consentID(userID, clientID)))
}

func (m *MongoDB) ConsentsOfUser(ctx context.Context, userID string) ([]Consent, error) {
	return findAll[Consent](ctx, "list consents", m.consents, document("user_id", userID), sorted("client_id", 1))
}

func (m *MongoDB) DeleteConsent(ctx context.Context, userID, clientID string) error {
	_, err := m.consents.DeleteOne(ctx, byID(consentID(userID, clientID)))
	return wrap("delete consent", err)
}

// Tokens

func (m *MongoDB) CreateToken(ctx context.Context, t Token) error {
	return insert(ctx, "create token", m.tokens, t.Hash, stored[Token]{Record: t, Purge: purgeField(t.purgeAt())})
}

func (m *MongoDB) Token(ctx context.Context, kind, hash string) (Token, error) {
	return find[Token](ctx, "load token", m.tokens, document("_id", hash, "kind", kind))
}

func (m *MongoDB) ConsumeToken(ctx context.Context, kind, hash string, now time.Time) (Token, error) {
	now = millisecond(now)
	return decide(ctx, m, "consume token", m.tokens, hash,
		document("_id", hash, "kind", kind, "consumed_at", nil, "expires_at", after(now)),
		document("consumed_at", now),
		func(there Token) error { return there.consumable(kind, now) })
}

func (m *MongoDB) DeleteToken(ctx context.Context, kind, hash string) error {
	_, err := m.tokens.DeleteOne(ctx, document("_id", hash, "kind", kind))
	return wrap("delete token", err)
}

// What was spent, and attempts

type spending struct {
	ExpiresAt time.Time `bson:"expires_at"`
}

func spentID(kind, id string) bson.D { return document("kind", kind, "id", id) }

func (m *MongoDB) Spend(ctx context.Context, kind, id string, now, expiresAt time.Time) error {
	now, expiresAt = millisecond(now), millisecond(expiresAt)
	const what = "spend"
	own, key := mark(), spentID(kind, id)
	change := document("$set", document("expires_at", expiresAt, "mark", own, "purge", purgeField(expiresAt.Add(keepExpired))))
	for range 3 {
		// An entry that has not expired does not match, and the new one then collides with it.
		_, err := m.spent.UpdateOne(ctx, document("_id", key, "expires_at", notAfter(now)), change, options.UpdateOne().SetUpsert(true))
		if err == nil {
			return nil
		}
		if !mongo.IsDuplicateKeyError(err) {
			return wrap(what, err)
		}
		there, err := latest[spending](ctx, what, m.spent, key)
		switch {
		case err == ErrNotFound: // purged in this very moment
		case err != nil:
			return err
		case there.Mark == own:
			return nil
		case now.Before(there.Record.ExpiresAt):
			return ErrConsumed
		}
	}
	return wrap(what, errUnclear)
}

func (m *MongoDB) Spent(ctx context.Context, kind, id string, now time.Time) (bool, error) {
	_, err := find[spending](ctx, "look up spent", m.spent, document("_id", spentID(kind, id), "expires_at", after(millisecond(now))))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

func (m *MongoDB) CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (int, time.Time, error) {
	now = millisecond(now)
	var counted struct {
		Count   int       `bson:"count"`
		ResetAt time.Time `bson:"reset_at"`
	}
	resetAt := now.Add(window)
	begin := document("$set", document("count", 1, "reset_at", resetAt, "purge", purgeField(resetAt.Add(keepExpired))))
	for range 3 {
		err := m.update(ctx, m.attempts, document("_id", key, "reset_at", after(now)), document("$inc", document("count", 1)), &counted)
		if err == nil {
			return counted.Count, counted.ResetAt, nil
		}
		if err != errUnmatched {
			return 0, time.Time{}, wrap("count attempt", err)
		}
		// There is no window, or it has ended. If another call begins the new one first, this counts in theirs.
		res := m.attempts.FindOneAndUpdate(ctx, document("_id", key, "reset_at", notAfter(now)), begin,
			options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After))
		switch err := res.Err(); {
		case err == nil:
			if err := res.Decode(&counted); err != nil {
				return 0, time.Time{}, wrap("count attempt", err)
			}
			return counted.Count, counted.ResetAt, nil
		case !mongo.IsDuplicateKeyError(err):
			return 0, time.Time{}, wrap("count attempt", err)
		}
	}
	return 0, time.Time{}, wrap("count attempt", errUnclear)
}

func (m *MongoDB) ForgiveAttempts(ctx context.Context, key string, n int) error {
	const what = "forgive attempts"
	if n < 0 {
		_, err := m.attempts.DeleteOne(ctx, byID(key))
		return wrap(what, err)
	}
	for {
		for _, step := range []struct{ filter, change bson.D }{
			{document("_id", key, "count", document("$gte", n)), document("$inc", document("count", -n))},
			{document("_id", key, "count", document("$lt", n)), document("$set", document("count", 0))},
		} {
			res, err := m.attempts.UpdateOne(ctx, step.filter, step.change)
			if err != nil || res.MatchedCount > 0 {
				return wrap(what, err)
			}
		}
		// Either there is no counter, or it passed n between the two.
		if _, err := find[bson.D](ctx, what, m.attempts, byID(key)); err != nil {
			if err == ErrNotFound {
				return nil
			}
			return err
		}
	}
}

func (m *MongoDB) Attempts(ctx context.Context, key string, now time.Time) (int, time.Time, error) {
	var counted struct {
		Count   int       `bson:"count"`
		ResetAt time.Time `bson:"reset_at"`
	}
	err := m.attempts.FindOne(ctx, document("_id", key, "reset_at", after(millisecond(now)))).Decode(&counted)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return 0, time.Time{}, nil
	}
	return counted.Count, counted.ResetAt, wrap("look up attempts", err)
}

// Logout deliveries

// delivery has a Due as long as it is to be tried, so that the index of these is as small as their number.
type delivery struct {
	LogoutDelivery `bson:",inline"`
	Due            time.Time `bson:"due,omitempty"`
}

func (m *MongoDB) CreateLogoutDelivery(ctx context.Context, d LogoutDelivery) error {
	doc := delivery{LogoutDelivery: d}
	if d.DeliveredAt.IsZero() {
		doc.Due = d.NextAt
	}
	return insert(ctx, "create logout delivery", m.deliveries, d.ID, stored[delivery]{Record: doc, Purge: purgeField(d.purgeAt())})
}

func (m *MongoDB) LeaseLogoutDelivery(ctx context.Context, now, leaseUntil time.Time) (LogoutDelivery, error) {
	now = millisecond(now)
	var d LogoutDelivery
	// If the answer is lost, the delivery waits until leaseUntil and is then tried by somebody.
	err := m.deliveries.FindOneAndUpdate(ctx,
		document("due", notAfter(now), "expires_at", after(now)),
		document("$set", document("due", leaseUntil, "next_at", leaseUntil), "$inc", document("attempts", 1)),
		options.FindOneAndUpdate().SetSort(document("due", 1)).SetReturnDocument(options.After)).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return LogoutDelivery{}, ErrNotFound
	}
	return d, wrap("lease logout delivery", err)
}

func (m *MongoDB) UpdateLogoutDelivery(ctx context.Context, d LogoutDelivery) error {
	filter, change := document("_id", d.ID, "delivered_at", nil), document("next_at", d.NextAt, "last_error", d.LastError)
	var update bson.D
	if d.DeliveredAt.IsZero() {
		filter = append(filter, bson.E{Key: "attempts", Value: d.Attempts})
		update = document("$set", append(change, bson.E{Key: "due", Value: d.NextAt}))
	} else {
		update = document("$set", append(change, bson.E{Key: "delivered_at", Value: d.DeliveredAt}), "$unset", document("due", ""))
	}
	_, err := m.deliveries.UpdateOne(ctx, filter, update)
	return wrap("update logout delivery", err)
}

func (m *MongoDB) LogoutDeliveries(ctx context.Context, logoutID string) ([]LogoutDelivery, error) {
	return findAll[LogoutDelivery](ctx, "list logout deliveries", m.deliveries, document("logout_id", logoutID), sorted("client_id", 1, "_id", 1))
}

// Keys and settings

const keySetID = "keys"

type keySet struct {
	ID          string `bson:"_id"`
	keys.KeySet `bson:",inline"`
}

func (m *MongoDB) KeySet(ctx context.Context) (keys.KeySet, error) {
	set, err := find[keys.KeySet](ctx, "load keys", m.keys, byID(keySetID))
	if err == ErrNotFound {
		return keys.KeySet{}, nil
	}
	return set, err
}

func (m *MongoDB) SwapKeySet(ctx context.Context, set keys.KeySet) (bool, error) {
	doc := stored[keySet]{Record: keySet{keySetID, set}}
	var err error
	if set.Version == 1 {
		err = insert(ctx, "store keys", m.keys, keySetID, doc)
	} else {
		err = swap(ctx, "store keys", m.keys, keySetID, set.Version-1, doc)
	}
	if err == ErrConflict || err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

type setting struct {
	Value []byte `bson:"value"`
}

func (m *MongoDB) SetOnce(ctx context.Context, name string, value []byte) ([]byte, error) {
	if value == nil {
		value = []byte{}
	}
	var there setting
	if err := m.upsert(ctx, m.settings, byID(name), document("$setOnInsert", document("value", value)), &there); err != nil {
		return nil, wrap("store setting", err)
	}
	return there.Value, nil
}

func (m *MongoDB) Setting(ctx context.Context, name string) ([]byte, error) {
	there, err := find[setting](ctx, "load setting", m.settings, byID(name))
	return there.Value, err
}

// Purge does what the database does by itself in time, but by the clock of the caller.
func (m *MongoDB) Purge(ctx context.Context, now time.Time) (int, error) {
	const step = 500
	total := 0
	gone := document("purge", notAfter(now))
	for _, c := range []*mongo.Collection{m.sessions, m.interactions, m.grants, m.tokens, m.deliveries, m.events, m.spent, m.attempts} {
		for {
			found, err := findAll[struct {
				ID any `bson:"_id"`
			}](ctx, "purge", c, gone, options.Find().SetProjection(document("_id", 1)).SetLimit(step))
			if err != nil {
				return total, err
			}
			if len(found) == 0 {
				break
			}
			ids := make(bson.A, len(found))
			for i, f := range found {
				ids[i] = f.ID
			}
			err = again(ctx, "purge", func(ctx context.Context) error {
				res, err := c.DeleteMany(ctx, append(document("_id", document("$in", ids)), gone...))
				if err == nil {
					total += int(res.DeletedCount)
				}
				return err
			})
			if err != nil {
				return total, err
			}
			if len(found) < step {
				break
			}
		}
	}
	return total, nil
}

// Grants

func (m *MongoDB) CreateGrant(ctx context.Context, g Grant) error {
	return insert(ctx, "create grant", m.grants, g.ID, stored[Grant]{Record: g, Purge: purgeField(g.purgeAt())})
}

func (m *MongoDB) Grant(ctx context.Context, id string) (Grant, error) {
	return find[Grant](ctx, "load grant", m.grants, byID(id))
}

func (m *MongoDB) RedeemCode(ctx context.Context, grantID, codeHash string, now, refreshIdleAt, expiresAt time.Time) (Grant, error) {
	now = millisecond(now)
	if codeHash == "" {
		return Grant{}, ErrNotFound
	}
	set := document("code_used_at", now, "last_used", now, "expires_at", expiresAt, "purge", purgeField(expiresAt.Add(keepUsed)))
	if !refreshIdleAt.IsZero() {
		set = append(set, document("refresh_generation", int64(1), "refreshed_at", now, "refresh_idle_at", refreshIdleAt)...)
	}
	return decide(ctx, m, "redeem code", m.grants, grantID,
		document("_id", grantID, "code_hash", codeHash, "code_used_at", nil, "revoked_at", nil, "code_expires_at", after(now)), set,
		func(there Grant) error { return there.redeemable(codeHash, now) })
}

func (m *MongoDB) RotateRefresh(ctx context.Context, grantID string, generation int64, now, refreshIdleAt time.Time) (Grant, error) {
	now = millisecond(now)
	if generation < 1 {
		return Grant{}, ErrNotFound
	}
	return decide(ctx, m, "rotate refresh token", m.grants, grantID, refreshFilter(grantID, generation, now),
		document("refresh_generation", generation+1, "refreshed_at", now, "last_used", now, "refresh_idle_at", refreshIdleAt),
		func(there Grant) error { return there.refreshable(generation, now) })
}

func refreshFilter(grantID string, generation int64, now time.Time) bson.D {
	return document("_id", grantID, "refresh_generation", generation, "revoked_at", nil, "expires_at", after(now), "refresh_idle_at", after(now))
}

func (m *MongoDB) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	res, err := m.grants.UpdateOne(ctx, document("_id", id, "revoked_at", nil),
		document("$set", document("revoked_at", now), "$min", document("purge", purgeField(now.Add(keepUsed)))))
	if err != nil || res.MatchedCount > 0 {
		return wrap("revoke grant", err)
	}
	_, err = latest[struct{}](ctx, "revoke grant", m.grants, id)
	return err
}

func (m *MongoDB) RevokeGrants(ctx context.Context, f GrantFilter, now time.Time) (int, error) {
	if f.UserID == "" && f.ClientID == "" && f.SessionID == "" {
		return 0, errEmptyFilter
	}
	var filter bson.D
	for _, cond := range []struct{ field, value string }{
		{"user_id", f.UserID}, {"client_id", f.ClientID}, {"session_id", f.SessionID},
	} {
		if cond.value != "" {
			filter = append(filter, bson.E{Key: cond.field, Value: cond.value})
		}
	}
	if f.KeepOffline {
		filter = append(filter, bson.E{Key: "offline", Value: nil})
	}
	const what = "revoke grants"
	// The mark counts what an attempt whose answer was lost has revoked.
	own := mark()
	standing := append(slices.Clone(filter), bson.E{Key: "revoked_at", Value: nil})
	change := document("$set", document("revoked_at", now, "revoked_by", own), "$min", document("purge", purgeField(now.Add(keepUsed))))
	n, tries := 0, 0
	err := again(ctx, what, func(ctx context.Context) error {
		tries++
		res, err := m.grants.UpdateMany(ctx, standing, change)
		if err == nil {
			n = int(res.ModifiedCount)
		}
		return err
	})
	if err != nil || tries == 1 {
		return n, err
	}
	count, err := m.grants.CountDocuments(ctx, append(filter, bson.E{Key: "revoked_by", Value: own}))
	return int(count), wrap(what, err)
}

func (m *MongoDB) GrantsOfUser(ctx context.Context, userID string, now time.Time) ([]Grant, error) {
	return findAll[Grant](ctx, "list grants", m.grants,
		document("user_id", userID, "revoked_at", nil, "expires_at", after(millisecond(now)),
			"$or", bson.A{document("code_hash", nil), document("code_used_at", document("$ne", nil))}),
		sorted("created_at", -1, "_id", 1).SetLimit(maxGrants))
}

func (m *MongoDB) ClientsOfSession(ctx context.Context, sessionID string) ([]string, error) {
	var ids []string
	if err := m.grants.Distinct(ctx, "client_id", document("session_id", sessionID)).Decode(&ids); err != nil {
		return nil, wrap("list clients of session", err)
	}
	slices.Sort(ids)
	return ids, nil
}
