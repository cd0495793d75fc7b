package storage

import (
	"context"
	"fmt"
	"os"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
)

var _ Store = (*SQLite)(nil)

// create runs the INSERT of a new record.
func create(c *conn, insert string, args ...any) error {
	_, err := c.exec(insert, args...)
	if taken(err) {
		return ErrConflict
	}
	return err
}

// replace runs an UPDATE whose condition is the version that the caller has seen. What it did not find decides between
// ErrNotFound and ErrConflict.
func replace(c *conn, exists, id, update string, args ...any) error {
	n, err := c.exec(update, args...)
	if taken(err) {
		return ErrConflict
	}
	if err != nil || n > 0 {
		return err
	}
	var version int64
	if err := c.one([]any{&version}, exists, id); err != nil {
		return err
	}
	return ErrConflict
}

func remove(c *conn, query, id string) error {
	n, err := c.exec(query, id)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// Users

func (s *SQLite) CreateUser(ctx context.Context, u User) error {
	u.Version = 1
	doc, err := encode(u)
	if err != nil {
		return err
	}
	return set(ctx, s, "create user", func(c *conn) error {
		return create(c, "INSERT INTO users (id, username, version, doc) VALUES (?, ?, 1, ?)", u.ID, u.Username, doc)
	})
}

func (s *SQLite) User(ctx context.Context, id string) (User, error) {
	return read(ctx, s, "load user", func(c *conn) (User, error) {
		return record[User](c, "SELECT doc FROM users WHERE id = ?", id)
	})
}

func (s *SQLite) UserByUsername(ctx context.Context, username string) (User, error) {
	return read(ctx, s, "load user", func(c *conn) (User, error) {
		return record[User](c, "SELECT doc FROM users WHERE username = ?", username)
	})
}

func (s *SQLite) UpdateUser(ctx context.Context, u User) error {
	seen := u.Version
	u.Version++
	doc, err := encode(u)
	if err != nil {
		return err
	}
	return set(ctx, s, "update user", func(c *conn) error {
		return replace(c, "SELECT version FROM users WHERE id = ?", u.ID,
			"UPDATE users SET username = ?, version = ?, doc = ? WHERE id = ? AND version = ?", u.Username, u.Version, doc, u.ID, seen)
	})
}

func (s *SQLite) DeleteUser(ctx context.Context, id string) error {
	return set(ctx, s, "delete user", func(c *conn) error {
		if err := remove(c, "DELETE FROM users WHERE id = ?", id); err != nil {
			return err
		}
		_, err := c.exec("DELETE FROM consents WHERE user_id = ?", id)
		return err
	})
}

func (s *SQLite) Users(ctx context.Context, after string, limit int) ([]User, error) {
	return read(ctx, s, "list users", func(c *conn) ([]User, error) {
		return list[User](c, "SELECT doc FROM users WHERE username > ? ORDER BY username LIMIT ?", after, max(limit, 0))
	})
}

// Groups

func (s *SQLite) PutGroup(ctx context.Context, g Group) error {
	doc, err := encode(g)
	if err != nil {
		return err
	}
	return set(ctx, s, "store group", func(c *conn) error {
		_, err := c.exec("INSERT INTO groups (name, doc) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET doc = excluded.doc", g.Name, doc)
		return err
	})
}

func (s *SQLite) CreateGroup(ctx context.Context, g Group) error {
	g.Version = 1
	doc, err := encode(g)
	if err != nil {
		return err
	}
	return set(ctx, s, "create group", func(c *conn) error {
		return create(c, "INSERT INTO groups (name, doc) VALUES (?, ?)", g.Name, doc)
	})
}

func (s *SQLite) UpdateGroup(ctx context.Context, g Group) error {
	seen := g.Version
	g.Version++
	doc, err := encode(g)
	if err != nil {
		return err
	}
	return set(ctx, s, "update group", func(c *conn) error {
		there, err := record[Group](c, "SELECT doc FROM groups WHERE name = ?", g.Name)
		if err != nil {
			return err
		}
		if there.Version != seen {
			return ErrConflict
		}
		_, err = c.exec("UPDATE groups SET doc = ? WHERE name = ?", doc, g.Name)
		return err
	})
}

func (s *SQLite) Group(ctx context.Context, name string) (Group, error) {
	return read(ctx, s, "load group", func(c *conn) (Group, error) {
		return record[Group](c, "SELECT doc FROM groups WHERE name = ?", name)
	})
}

func (s *SQLite) Groups(ctx context.Context) ([]Group, error) {
	return read(ctx, s, "list groups", func(c *conn) ([]Group, error) {
		return list[Group](c, "SELECT doc FROM groups ORDER BY name")
	})
}

func (s *SQLite) DeleteGroup(ctx context.Context, name string) error {
	return set(ctx, s, "delete group", func(c *conn) error { return remove(c, "DELETE FROM groups WHERE name = ?", name) })
}

// Clients

func (s *SQLite) CreateClient(ctx context.Context, client clients.Client) error {
	client.Version = 1
	doc, err := encode(client)
	if err != nil {
		return err
	}
	return set(ctx, s, "create client", func(c *conn) error {
		if err := create(c, "INSERT INTO clients (id, version, doc) VALUES (?, 1, ?)", client.ID, doc); err != nil {
			return err
		}
		return putOrigins(c, client)
	})
}

// putOrigins keeps client_origins as the client says.
func putOrigins(c *conn, client clients.Client) error {
	if _, err := c.exec("DELETE FROM client_origins WHERE client_id = ?", client.ID); err != nil || client.Disabled {
		return err
	}
	for _, origin := range client.CORSOrigins {
		if _, err := c.exec("INSERT OR IGNORE INTO client_origins (origin, client_id) VALUES (?, ?)", origin, client.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *SQLite) OriginAllowed(ctx context.Context, origin string) (bool, error) {
	return read(ctx, s, "look up origin", func(c *conn) (bool, error) {
		var n int64
		err := c.one([]any{&n}, "SELECT 1 FROM client_origins WHERE origin = ? LIMIT 1", origin)
		if err == ErrNotFound {
			return false, nil
		}
		return err == nil, err
	})
}

func (s *SQLite) Client(ctx context.Context, id string) (clients.Client, error) {
	return read(ctx, s, "load client", func(c *conn) (clients.Client, error) {
		return record[clients.Client](c, "SELECT doc FROM clients WHERE id = ?", id)
	})
}

func (s *SQLite) UpdateClient(ctx context.Context, client clients.Client) error {
	seen := client.Version
	client.Version++
	doc, err := encode(client)
	if err != nil {
		return err
	}
	return set(ctx, s, "update client", func(c *conn) error {
		if err := replace(c, "SELECT version FROM clients WHERE id = ?", client.ID,
			"UPDATE clients SET version = ?, doc = ? WHERE id = ? AND version = ?", client.Version, doc, client.ID, seen); err != nil {
			return err
		}
		return putOrigins(c, client)
	})
}

func (s *SQLite) DeleteClient(ctx context.Context, id string, now time.Time) error {
	return set(ctx, s, "delete client", func(c *conn) error {
		if err := remove(c, "DELETE FROM clients WHERE id = ?", id); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM consents WHERE client_id = ?", id); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM client_origins WHERE client_id = ?", id); err != nil {
			return err
		}
		_, err := revoke(c, GrantFilter{ClientID: id}, now)
		return err
	})
}

func (s *SQLite) Clients(ctx context.Context, after string, limit int) ([]clients.Client, error) {
	return read(ctx, s, "list clients", func(c *conn) ([]clients.Client, error) {
		return list[clients.Client](c, "SELECT doc FROM clients WHERE id > ? ORDER BY id LIMIT ?", after, max(limit, 0))
	})
}

// Sessions

func (s *SQLite) CreateSession(ctx context.Context, session Session) error {
	doc, err := encode(session)
	if err != nil {
		return err
	}
	return set(ctx, s, "create session", func(c *conn) error {
		return create(c, "INSERT INTO sessions (id, user_id, purge_at, doc) VALUES (?, ?, ?, ?)",
			session.ID, session.UserID, session.purgeAt(), doc)
	})
}

func loadSession(c *conn, id string) (Session, error) {
	return record[Session](c, "SELECT doc FROM sessions WHERE id = ?", id)
}

func saveSession(c *conn, session Session) error {
	doc, err := encode(session)
	if err == nil {
		_, err = c.exec("UPDATE sessions SET purge_at = ?, doc = ? WHERE id = ?", session.purgeAt(), doc, session.ID)
	}
	return err
}

func (s *SQLite) Session(ctx context.Context, id string) (Session, error) {
	return read(ctx, s, "load session", func(c *conn) (Session, error) { return loadSession(c, id) })
}

func (s *SQLite) RenewSession(ctx context.Context, renewed Session, oldSecretHash string) error {
	return set(ctx, s, "renew session", func(c *conn) error {
		session, err := loadSession(c, renewed.ID)
		if err != nil {
			return err
		}
		if !session.EndedAt.IsZero() || session.SecretHash != oldSecretHash {
			return ErrConflict
		}
		session.SecretHash, session.AuthTime, session.AMR, session.ACR = renewed.SecretHash, renewed.AuthTime, renewed.AMR, renewed.ACR
		session.Remember, session.LastSeen = renewed.Remember, renewed.LastSeen
		session.IdleAt, session.ExpiresAt = renewed.IdleAt, renewed.ExpiresAt
		return saveSession(c, session)
	})
}

func (s *SQLite) TouchSession(ctx context.Context, id string, lastSeen, idleAt time.Time) error {
	return set(ctx, s, "touch session", func(c *conn) error {
		session, err := loadSession(c, id)
		if err == ErrNotFound || !session.EndedAt.IsZero() {
			return nil
		}
		if err != nil {
			return err
		}
		session.LastSeen, session.IdleAt = later(session.LastSeen, lastSeen), later(session.IdleAt, idleAt)
		return saveSession(c, session)
	})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (s *SQLite) EndSession(ctx context.Context, id string, now time.Time) (Session, error) {
	return change(ctx, s, "end session", func(c *conn) (Session, error) {
		session, err := loadSession(c, id)
		if err != nil {
			return Session{}, err
		}
		if !session.EndedAt.IsZero() {
			return session, ErrConsumed
		}
		session.EndedAt = millisecond(now)
		return session, saveSession(c, session)
	})
}

func (s *SQLite) SessionsOfUser(ctx context.Context, userID string, now time.Time) ([]Session, error) {
	return read(ctx, s, "list sessions", func(c *conn) ([]Session, error) {
		all, err := list[Session](c, "SELECT doc FROM sessions WHERE user_id = ?", userID)
		return validSessions(all, now), err
	})
}

// Interactions

func (s *SQLite) CreateInteraction(ctx context.Context, i Interaction) error {
	i.Version = 1
	doc, err := encode(i)
	if err != nil {
		return err
	}
	return set(ctx, s, "create interaction", func(c *conn) error {
		return create(c, "INSERT INTO interactions (id, version, purge_at, doc) VALUES (?, 1, ?, ?)", i.ID, i.purgeAt(), doc)
	})
}

func (s *SQLite) Interaction(ctx context.Context, id string) (Interaction, error) {
	return read(ctx, s, "load interaction", func(c *conn) (Interaction, error) {
		return record[Interaction](c, "SELECT doc FROM interactions WHERE id = ?", id)
	})
}

func (s *SQLite) UpdateInteraction(ctx context.Context, i Interaction) error {
	seen := i.Version
	i.Version++
	doc, err := encode(i)
	if err != nil {
		return err
	}
	return set(ctx, s, "update interaction", func(c *conn) error {
		return replace(c, "SELECT version FROM interactions WHERE id = ?", i.ID,
			"UPDATE interactions SET version = ?, purge_at = ?, doc = ? WHERE id = ? AND version = ?",
			i.Version, i.purgeAt(), doc, i.ID, seen)
	})
}

func (s *SQLite) FinishInteraction(ctx context.Context, id string) error {
	return set(ctx, s, "finish interaction", func(c *conn) error { return remove(c, "DELETE FROM interactions WHERE id = ?", id) })
}

// Consents

func (s *SQLite) AddConsent(ctx context.Context, added Consent) error {
	return set(ctx, s, "add consent", func(c *conn) error {
		consent, err := record[Consent](c, "SELECT doc FROM consents WHERE user_id = ? AND client_id = ?", added.UserID, added.ClientID)
		switch {
		case err == ErrNotFound:
			consent = added
		case err != nil:
			return err
		default:
			consent.Scope = union(consent.Scope, added.Scope)
			consent.Claims = union(consent.Claims, added.Claims)
			consent.Resource = union(consent.Resource, added.Resource)
			consent.UpdatedAt = later(consent.UpdatedAt, added.UpdatedAt)
		}
		doc, err := encode(consent)
		if err != nil {
			return err
		}
		_, err = c.exec("INSERT INTO consents (user_id, client_id, doc) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc",
			consent.UserID, consent.ClientID, doc)
		return err
	})
}

func (s *SQLite) Consent(ctx context.Context, userID, clientID string) (Consent, error) {
	return read(ctx, s, "load consent", func(c *conn) (Consent, error) {
		return record[Consent](c, "SELECT doc FROM consents WHERE user_id = ? AND client_id = ?", userID, clientID)
	})
}

func (s *SQLite) ConsentsOfUser(ctx context.Context, userID string) ([]Consent, error) {
	return read(ctx, s, "list consents", func(c *conn) ([]Consent, error) {
		return list[Consent](c, "SELECT doc FROM consents WHERE user_id = ? ORDER BY client_id", userID)
	})
}

func (s *SQLite) DeleteConsent(ctx context.Context, userID, clientID string) error {
	return set(ctx, s, "delete consent", func(c *conn) error {
		_, err := c.exec("DELETE FROM consents WHERE user_id = ? AND client_id = ?", userID, clientID)
		return err
	})
}

// Tokens

func (s *SQLite) CreateToken(ctx context.Context, t Token) error {
	doc, err := encode(t)
	if err != nil {
		return err
	}
	return set(ctx, s, "create token", func(c *conn) error {
		return create(c, "INSERT INTO tokens (hash, kind, purge_at, doc) VALUES (?, ?, ?, ?)", t.Hash, t.Kind, t.purgeAt(), doc)
	})
}

const tokenByHash = "SELECT doc FROM tokens WHERE hash = ? AND kind = ?"

func (s *SQLite) Token(ctx context.Context, kind, hash string) (Token, error) {
	return read(ctx, s, "load token", func(c *conn) (Token, error) { return record[Token](c, tokenByHash, hash, kind) })
}

func (s *SQLite) ConsumeToken(ctx context.Context, kind, hash string, now time.Time) (Token, error) {
	now = millisecond(now)
	return change(ctx, s, "consume token", func(c *conn) (Token, error) {
		t, err := record[Token](c, tokenByHash, hash, kind)
		if err == nil {
			err = t.consumable(kind, now)
		}
		if err != nil {
			return t, err
		}
		t.ConsumedAt = now
		doc, err := encode(t)
		if err == nil {
			_, err = c.exec("UPDATE tokens SET doc = ? WHERE hash = ?", doc, hash)
		}
		return t, err
	})
}

func (s *SQLite) DeleteToken(ctx context.Context, kind, hash string) error {
	return set(ctx, s, "delete token", func(c *conn) error {
		_, err := c.exec("DELETE FROM tokens WHERE hash = ? AND kind = ?", hash, kind)
		return err
	})
}

// What was spent, and attempts

func (s *SQLite) Spend(ctx context.Context, kind, id string, now, expiresAt time.Time) error {
	return set(ctx, s, "spend", func(c *conn) error {
		n, err := c.exec(`INSERT INTO spent (kind, id, expires_at) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?`, kind, id, expiresAt, now)
		if err == nil && n == 0 {
			return ErrConsumed
		}
		return err
	})
}

func (s *SQLite) Spent(ctx context.Context, kind, id string, now time.Time) (bool, error) {
	return read(ctx, s, "look up spent", func(c *conn) (bool, error) {
		var expires int64
		err := c.one([]any{&expires}, "SELECT expires_at FROM spent WHERE kind = ? AND id = ? AND expires_at > ?", kind, id, now)
		if err == ErrNotFound {
			return false, nil
		}
		return err == nil, err
	})
}

func (s *SQLite) CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (int, time.Time, error) {
	type counted struct{ count, resetAt int64 }
	n, err := change(ctx, s, "count attempt", func(c *conn) (n counted, err error) {
		err = c.one([]any{&n.count, &n.resetAt}, `INSERT INTO attempts (key, count, reset_at) VALUES (?1, 1, ?3)
			ON CONFLICT DO UPDATE SET
				count = CASE WHEN reset_at <= ?2 THEN 1 ELSE count + 1 END,
				reset_at = CASE WHEN reset_at <= ?2 THEN ?3 ELSE reset_at END
			RETURNING count, reset_at`, key, now, now.Add(window))
		return n, err
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	return int(n.count), time.UnixMilli(n.resetAt).UTC(), nil
}

func (s *SQLite) ForgiveAttempts(ctx context.Context, key string, n int) error {
	return set(ctx, s, "forgive attempts", func(c *conn) (err error) {
		if n < 0 {
			_, err = c.exec("DELETE FROM attempts WHERE key = ?", key)
		} else {
			_, err = c.exec("UPDATE attempts SET count = max(count - ?, 0) WHERE key = ?", n, key)
		}
		return err
	})
}

func (s *SQLite) Attempts(ctx context.Context, key string, now time.Time) (int, time.Time, error) {
	type counted struct{ count, resetAt int64 }
	n, err := read(ctx, s, "look up attempts", func(c *conn) (n counted, err error) {
		err = c.one([]any{&n.count, &n.resetAt}, "SELECT count, reset_at FROM attempts WHERE key = ? AND reset_at > ?", key, now)
		return n, err
	})
	if err == ErrNotFound {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return int(n.count), time.UnixMilli(n.resetAt).UTC(), nil
}

// Logout deliveries

func (s *SQLite) CreateLogoutDelivery(ctx context.Context, d LogoutDelivery) error {
	doc, err := encode(d)
	if err != nil {
		return err
	}
	return set(ctx, s, "create logout delivery", func(c *conn) error {
		return create(c, `INSERT INTO logout_deliveries (id, logout_id, client_id, delivered, next_at, expires_at, doc)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, d.ID, d.LogoutID, d.ClientID, !d.DeliveredAt.IsZero(), d.NextAt, d.ExpiresAt, doc)
	})
}

func saveLogoutDelivery(c *conn, d LogoutDelivery) error {
	doc, err := encode(d)
	if err == nil {
		_, err = c.exec("UPDATE logout_deliveries SET delivered = ?, next_at = ?, doc = ? WHERE id = ?",
			!d.DeliveredAt.IsZero(), d.NextAt, doc, d.ID)
	}
	return err
}

func (s *SQLite) LeaseLogoutDelivery(ctx context.Context, now, leaseUntil time.Time) (LogoutDelivery, error) {
	return change(ctx, s, "lease logout delivery", func(c *conn) (LogoutDelivery, error) {
		d, err := record[LogoutDelivery](c, `SELECT doc FROM logout_deliveries
			WHERE delivered = 0 AND next_at <= ?1 AND expires_at > ?1 ORDER BY next_at LIMIT 1`, now)
		if err != nil {
			return LogoutDelivery{}, err
		}
		d.NextAt = millisecond(leaseUntil)
		d.Attempts++
		return d, saveLogoutDelivery(c, d)
	})
}

func (s *SQLite) UpdateLogoutDelivery(ctx context.Context, outcome LogoutDelivery) error {
	return set(ctx, s, "update logout delivery", func(c *conn) error {
		d, err := record[LogoutDelivery](c, "SELECT doc FROM logout_deliveries WHERE id = ?", outcome.ID)
		switch {
		case err == ErrNotFound:
			return nil
		case err != nil:
			return err
		case !d.DeliveredAt.IsZero(), outcome.DeliveredAt.IsZero() && outcome.Attempts != d.Attempts:
			return nil // somebody else has tried since, and their outcome counts
		}
		d.NextAt, d.DeliveredAt, d.LastError = outcome.NextAt, outcome.DeliveredAt, outcome.LastError
		return saveLogoutDelivery(c, d)
	})
}

func (s *SQLite) LogoutDeliveries(ctx context.Context, logoutID string) ([]LogoutDelivery, error) {
	return read(ctx, s, "list logout deliveries", func(c *conn) ([]LogoutDelivery, error) {
		return list[LogoutDelivery](c, "SELECT doc FROM logout_deliveries WHERE logout_id = ? ORDER BY client_id, id", logoutID)
	})
}

// Keys and settings

func (s *SQLite) KeySet(ctx context.Context) (keys.KeySet, error) {
	return read(ctx, s, "load keys", func(c *conn) (keys.KeySet, error) {
		set, err := record[keys.KeySet](c, "SELECT doc FROM key_set WHERE one = 1")
		if err == ErrNotFound {
			return keys.KeySet{}, nil
		}
		return set, err
	})
}

func (s *SQLite) SwapKeySet(ctx context.Context, set keys.KeySet) (bool, error) {
	doc, err := encode(set)
	if err != nil {
		return false, err
	}
	return change(ctx, s, "store keys", func(c *conn) (bool, error) {
		var n int
		var err error
		if set.Version == 1 {
			n, err = c.exec("INSERT INTO key_set (one, version, doc) VALUES (1, 1, ?) ON CONFLICT DO NOTHING", doc)
		} else {
			n, err = c.exec("UPDATE key_set SET version = ?, doc = ? WHERE version = ?", set.Version, doc, set.Version-1)
		}
		return n == 1, err
	})
}

const settingByName = "SELECT value FROM settings WHERE name = ?"

func (s *SQLite) SetOnce(ctx context.Context, name string, value []byte) ([]byte, error) {
	if value == nil {
		value = []byte{}
	}
	return change(ctx, s, "store setting", func(c *conn) (stored []byte, err error) {
		if _, err = c.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", name, value); err != nil {
			return nil, err
		}
		return stored, c.one([]any{&stored}, settingByName, name)
	})
}

func (s *SQLite) Setting(ctx context.Context, name string) ([]byte, error) {
	return read(ctx, s, "load setting", func(c *conn) (value []byte, err error) {
		err = c.one([]any{&value}, settingByName, name)
		return value, err
	})
}

// The store itself

func (s *SQLite) Purge(ctx context.Context, now time.Time) (int, error) {
	// In small steps, so that a big broom does not keep the others waiting.
	const step = 500
	used, expired := now, now.Add(-keepExpired)
	total := 0
	for _, p := range []struct {
		query  string
		before time.Time
	}{
		{"DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions WHERE purge_at <= ? LIMIT ?)", used},
		{"DELETE FROM interactions WHERE rowid IN (SELECT rowid FROM interactions WHERE purge_at <= ? LIMIT ?)", used},
		{"DELETE FROM grants WHERE rowid IN (SELECT rowid FROM grants WHERE purge_at <= ? LIMIT ?)", used},
		{"DELETE FROM tokens WHERE rowid IN (SELECT rowid FROM tokens WHERE purge_at <= ? LIMIT ?)", used},
		{"DELETE FROM logout_deliveries WHERE rowid IN (SELECT rowid FROM logout_deliveries WHERE expires_at <= ? LIMIT ?)", expired},
		{"DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE purge_at <= ? LIMIT ?)", used},
		{"DELETE FROM spent WHERE (kind, id) IN (SELECT kind, id FROM spent WHERE expires_at <= ? LIMIT ?)", expired},
		{"DELETE FROM attempts WHERE key IN (SELECT key FROM attempts WHERE reset_at <= ? LIMIT ?)", expired},
	} {
		for n := step; n == step; total += n {
			var err error
			if n, err = change(ctx, s, "purge", func(c *conn) (int, error) { return c.exec(p.query, p.before, step) }); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// Ping writes, because a disk that is full or has become read-only still answers questions.
func (s *SQLite) Ping(ctx context.Context) error {
	return set(ctx, s, "ping", func(c *conn) error {
		_, err := c.exec("INSERT INTO pings (one, count) VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1")
		return err
	})
}

// Backup writes a consistent copy of the database to path, a new file, with mode 0600, while the store is in use.
func (s *SQLite) Backup(ctx context.Context, path string) error {
	what := "back up to " + path
	if err := createFile(path); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	_, err := read(ctx, s, what, func(c *conn) (struct{}, error) {
		if _, err := c.exec("VACUUM INTO ?", path); err != nil {
			return struct{}{}, err
		}
		// SQLite does not sync what VACUUM INTO has written.
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return struct{}{}, err
		}
		defer f.Close()
		return struct{}{}, f.Sync()
	})
	return err
}
