package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"
)

const grantColumns = "SELECT revoked_at, doc FROM grants "

// readGrant puts a row of grantColumns together.
func readGrant(row []driver.Value) (g Grant, err error) {
	doc, _ := row[1].([]byte)
	if err = decode(doc, &g); err != nil {
		return Grant{}, err
	}
	if at, ok := row[0].(int64); ok {
		g.RevokedAt = time.UnixMilli(at).UTC()
	}
	return g, nil
}

func loadGrant(c *conn, id string) (g Grant, err error) {
	found := false
	err = c.query(func(row []driver.Value) (err error) {
		found = true
		g, err = readGrant(row)
		return err
	}, grantColumns+"WHERE id = ?", id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return g, err
}

func saveGrant(c *conn, g Grant) error {
	doc, err := encode(g)
	if err == nil {
		_, err = c.exec("UPDATE grants SET live = ?, expires_at = ?, purge_at = ?, doc = ? WHERE id = ?",
			g.Live(), g.ExpiresAt, g.purgeAt(), doc, g.ID)
	}
	return err
}

func (s *SQLite) CreateGrant(ctx context.Context, g Grant) error {
	var revoked any
	if !g.RevokedAt.IsZero() {
		revoked = g.RevokedAt
	}
	purge := g.purgeAt()
	g.RevokedAt = time.Time{}
	doc, err := encode(g)
	if err != nil {
		return err
	}
	return set(ctx, s, "create grant", func(c *conn) error {
		return create(c, `INSERT INTO grants
			(id, user_id, client_id, session_id, offline, live, created_at, expires_at, revoked_at, purge_at, doc)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			g.ID, g.UserID, g.ClientID, g.SessionID, g.Offline, g.Live(), g.CreatedAt, g.ExpiresAt, revoked, purge, doc)
	})
}

func (s *SQLite) Grant(ctx context.Context, id string) (Grant, error) {
	return read(ctx, s, "load grant", func(c *conn) (Grant, error) { return loadGrant(c, id) })
}

func (s *SQLite) RedeemCode(ctx context.Context, grantID, codeHash string, now, refreshIdleAt, expiresAt time.Time) (Grant, error) {
	now = millisecond(now)
	return change(ctx, s, "redeem code", func(c *conn) (Grant, error) {
		g, err := loadGrant(c, grantID)
		if err == nil {
			err = g.redeemable(codeHash, now)
		}
		if err != nil {
			return g, err
		}
		g.CodeUsedAt, g.LastUsed, g.ExpiresAt = now, now, millisecond(expiresAt)
		if !refreshIdleAt.IsZero() {
			g.RefreshGeneration, g.RefreshedAt, g.RefreshIdleAt = 1, now, millisecond(refreshIdleAt)
		}
		return g, saveGrant(c, g)
	})
}

func (s *SQLite) RotateRefresh(ctx context.Context, grantID string, generation int64, now, refreshIdleAt time.Time) (Grant, error) {
	now = millisecond(now)
	return change(ctx, s, "rotate refresh token", func(c *conn) (Grant, error) {
		g, err := loadRefreshable(c, grantID, generation, now)
		if err != nil {
			return g, err
		}
		g.RefreshGeneration++
		g.RefreshedAt, g.LastUsed, g.RefreshIdleAt = now, now, millisecond(refreshIdleAt)
		return g, saveGrant(c, g)
	})
}

// loadRefreshable loads a grant whose current refresh token is the one of this generation.
func loadRefreshable(c *conn, grantID string, generation int64, now time.Time) (Grant, error) {
	g, err := loadGrant(c, grantID)
	if err == nil {
		err = g.refreshable(generation, now)
	}
	return g, err
}

func (s *SQLite) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	return set(ctx, s, "revoke grant", func(c *conn) error {
		n, err := c.exec("UPDATE grants SET "+revoked+" WHERE id = ?2 AND revoked_at IS NULL", now, id, now.Add(keepUsed))
		if err != nil || n > 0 {
			return err
		}
		var one int64
		return c.one([]any{&one}, "SELECT 1 FROM grants WHERE id = ?", id)
	})
}

// revoked marks rows revoked at ?1; ?3 is until when a revoked grant is kept.
const revoked = "revoked_at = ?1, purge_at = min(purge_at, ?3)"

var errEmptyFilter = errors.New("storage: a filter without any condition would revoke every grant")

func (s *SQLite) RevokeGrants(ctx context.Context, f GrantFilter, now time.Time) (int, error) {
	if f.UserID == "" && f.ClientID == "" && f.SessionID == "" {
		return 0, errEmptyFilter
	}
	return change(ctx, s, "revoke grants", func(c *conn) (int, error) { return revoke(c, f, now) })
}

func revoke(c *conn, f GrantFilter, now time.Time) (int, error) {
	query, args := "UPDATE grants SET "+revoked+" WHERE revoked_at IS NULL", []any{now, f.KeepOffline, now.Add(keepUsed)}
	for _, cond := range []struct{ column, value string }{
		{" AND user_id = ?", f.UserID}, {" AND client_id = ?", f.ClientID}, {" AND session_id = ?", f.SessionID},
	} {
		if cond.value != "" {
			query += cond.column
			args = append(args, cond.value)
		}
	}
	if f.KeepOffline {
		query += " AND offline = 0"
	}
	return c.exec(query, args...)
}

func (s *SQLite) GrantsOfUser(ctx context.Context, userID string, now time.Time) ([]Grant, error) {
	return read(ctx, s, "list grants", func(c *conn) (all []Grant, err error) {
		err = c.query(func(row []driver.Value) error {
			g, err := readGrant(row)
			all = append(all, g)
			return err
		}, grantColumns+`WHERE user_id = ? AND revoked_at IS NULL AND live = 1 AND expires_at > ?
			ORDER BY created_at DESC, id LIMIT ?`, userID, now, maxGrants)
		return all, err
	})
}

func (s *SQLite) ClientsOfSession(ctx context.Context, sessionID string) ([]string, error) {
	return read(ctx, s, "list clients of session", func(c *conn) (all []string, err error) {
		err = c.query(func(row []driver.Value) error {
			id, _ := row[0].(string)
			all = append(all, id)
			return nil
		}, "SELECT DISTINCT client_id FROM grants WHERE session_id = ? ORDER BY client_id", sessionID)
		return all, err
	})
}
