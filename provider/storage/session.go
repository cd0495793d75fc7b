package storage

import (
	"cmp"
	"context"
	"slices"
	"time"
)

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
	Clients    []string  `bson:"clients,omitempty"`  // IDs of the clients that it signed the person in to
	Version    int64     `bson:"version"`
}

// Valid reports whether the session stands at now.
func (s Session) Valid(now time.Time) bool {
	return s.ID != "" && s.EndedAt.IsZero() && now.Before(s.IdleAt) && now.Before(s.ExpiresAt)
}

// keepLapsed is how long a session that ran out is kept for somebody to end it. Its clients are
// told only then.
const keepLapsed = 30 * 24 * time.Hour

// openSession has Lapses until the session is ended, so that the index of these finds what ran out.
type openSession struct {
	Session `bson:",inline"`
	Lapses  time.Time `bson:"lapses,omitempty"`
}

var sessions = register(table[Session]{
	Table: Table{Name: "sessions", Indexes: []Index{{Fields: []string{"user_id"}}, {Fields: []string{"lapses"},
		Sparse: true}}},
	id:      func(s *Session) string { return s.ID },
	version: func(s *Session) *int64 { return &s.Version },
	cached:  true,
	purgeAt: func(s *Session) time.Time {
		if s.EndedAt.IsZero() {
			return earlier(s.ExpiresAt, s.IdleAt).Add(keepLapsed)
		}
		return s.EndedAt.Add(keepUsed)
	},
	stored: func(s *Session) any {
		open := openSession{Session: *s}
		if s.EndedAt.IsZero() {
			open.Lapses = earlier(s.ExpiresAt, s.IdleAt)
		}
		return &open
	},
})

// CreateSession stores a new session with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateSession(ctx context.Context, session Session) error {
	return create(ctx, s, "create session", sessions, session)
}

// Session returns a session by ID, ended and expired ones too, or ErrNotFound.
func (r Records) Session(ctx context.Context, id string) (Session, error) {
	return load(ctx, r, "load session", sessions, id)
}

// RenewSession replaces the session's secret, authentication (SecretHash, AuthTime, AMR, ACR,
// Remember, LastSeen, IdleAt, ExpiresAt of renewed) if it is not ended and its secret is still
// oldSecretHash. ErrConflict otherwise, ErrNotFound if there is none.
func (s *Store) RenewSession(ctx context.Context, renewed Session, oldSecretHash string) error {
	_, err := change(ctx, s, "renew session", sessions, renewed.ID, existing(func(there *Session) error {
		return there.renew(renewed, oldSecretHash)
	}))
	return err
}

func (s *Session) renew(renewed Session, oldSecretHash string) error {
	if !s.EndedAt.IsZero() || s.SecretHash != oldSecretHash {
		return ErrConflict
	}
	s.SecretHash, s.AuthTime, s.AMR, s.ACR = renewed.SecretHash, renewed.AuthTime, renewed.AMR, renewed.ACR
	s.Remember, s.LastSeen = renewed.Remember, renewed.LastSeen
	s.IdleAt, s.ExpiresAt = renewed.IdleAt, renewed.ExpiresAt
	return nil
}

// TouchSession moves LastSeen and IdleAt of the session seen if it is not ended; it never moves
// them back. No error if there is none.
func (s *Store) TouchSession(ctx context.Context, seen Session, lastSeen, idleAt time.Time) error {
	_, err := changeSeen(ctx, s, "touch session", sessions, seen, existing(func(there *Session) error {
		return there.touch(millisecond(lastSeen), millisecond(idleAt))
	}))
	if err == ErrNotFound {
		return nil // also when there was nothing to move
	}
	return err
}

// touch returns ErrNotFound if it has nothing to change.
func (s *Session) touch(lastSeen, idleAt time.Time) error {
	if !s.EndedAt.IsZero() || (!lastSeen.After(s.LastSeen) && !idleAt.After(s.IdleAt)) {
		return ErrNotFound
	}
	s.LastSeen, s.IdleAt = later(s.LastSeen, lastSeen), later(s.IdleAt, idleAt)
	return nil
}

// EndSession marks a session ended at now and returns it. Of concurrent calls exactly one succeeds,
// the others get ErrConsumed along with the session. ErrNotFound if there is none.
func (s *Store) EndSession(ctx context.Context, id string, now time.Time) (Session, error) {
	return change(ctx, s, "end session", sessions, id, existing(func(there *Session) error {
		return there.end(millisecond(now))
	}))
}

// EndLapsedSession is EndSession for a session that ran out: ErrConflict if it is valid at now,
// because somebody has renewed it meanwhile.
func (s *Store) EndLapsedSession(ctx context.Context, id string, now time.Time) (Session, error) {
	return change(ctx, s, "end session that ran out", sessions, id, existing(func(there *Session) error {
		if there.Valid(now) {
			return ErrConflict
		}
		return there.end(millisecond(now))
	}))
}

func (s *Session) end(now time.Time) error {
	if !s.EndedAt.IsZero() {
		return ErrConsumed
	}
	s.EndedAt = now
	return nil
}

// ReachSession records that the session seen signed the person in to a client. ErrConflict if it
// has ended meanwhile, ErrNotFound if there is none.
func (s *Store) ReachSession(ctx context.Context, seen Session, clientID string) error {
	if seen.EndedAt.IsZero() && slices.Contains(seen.Clients, clientID) {
		return nil
	}
	_, err := changeSeen(ctx, s, "add client to session", sessions, seen, existing(func(there *Session) error {
		return there.reach(clientID)
	}))
	if err == ErrConsumed {
		return nil
	}
	return err
}

// reach returns ErrConsumed if there is nothing to change.
func (s *Session) reach(clientID string) error {
	switch {
	case !s.EndedAt.IsZero():
		return ErrConflict
	case slices.Contains(s.Clients, clientID):
		return ErrConsumed
	}
	s.Clients = append(slices.Clone(s.Clients), clientID)
	return nil
}

// LapsedSessions lists sessions that ran out at now, or before, and that nobody has ended yet, the
// oldest first, at most limit.
func (r Records) LapsedSessions(ctx context.Context, now time.Time, limit int) ([]Session, error) {
	return listIf(ctx, r, "list sessions that ran out", sessions, Query{Order: []string{"lapses"},
		UpTo: millisecond(now), Limit: limit}, 0,
		func(s *Session) bool { return s.EndedAt.IsZero() && !s.Valid(now) })
}

// OpenSessionsOfUser lists the user's sessions that nobody has ended, those that ran out too.
func (r Records) OpenSessionsOfUser(ctx context.Context, userID string) ([]Session, error) {
	return listIf(ctx, r, "list sessions", sessions, Query{Where: []Match{is("user_id", userID)}}, 0,
		func(s *Session) bool { return s.EndedAt.IsZero() })
}

// OpenSessions lists the sessions that nobody has ended, those that ran out too, by ID: those with
// an ID above after, or from the first if that is empty; at most limit.
func (r Records) OpenSessions(ctx context.Context, after string, limit int) ([]Session, error) {
	if limit < 1 {
		return nil, nil
	}
	q := Query{Order: []string{FieldID}}
	if after != "" {
		q.After = after
	}
	return listIf(ctx, r, "list open sessions", sessions, q, limit,
		func(s *Session) bool { return s.EndedAt.IsZero() })
}

// Sessions lists the sessions that are valid at now, the newest first, at most limit: those with an
// ID below before, or from the newest if that is empty.
func (r Records) Sessions(ctx context.Context, before string, now time.Time, limit int) ([]Session, error) {
	if limit < 1 {
		return nil, nil
	}
	q := Query{Order: []string{"-" + FieldID}}
	if before != "" {
		q.After = before
	}
	return listIf(ctx, r, "list sessions", sessions, q, limit, func(s *Session) bool { return s.Valid(now) })
}

// SessionsOfUser lists the user's sessions that are valid at now, last seen first.
func (r Records) SessionsOfUser(ctx context.Context, userID string, now time.Time) ([]Session, error) {
	all, err := listIf(ctx, r, "list sessions", sessions, Query{Where: []Match{is("user_id", userID)}}, 0,
		func(s *Session) bool { return s.Valid(now) })
	slices.SortFunc(all, func(a, b Session) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}
