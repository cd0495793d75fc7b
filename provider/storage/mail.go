package storage

import (
	"context"
	"time"
)

// MailInvite is the kind of a Mail with the link of an invitation, see Mail.
const MailInvite = "invite"

// Mail is a mail that is to be sent. It holds what the mail is about, not its text: that is written
// when it is sent, so that no link that is worth anything lies in the store.
type Mail struct {
	ID      string            `bson:"_id"` // made by NewID
	Kind    string            `bson:"kind"`
	UserID  string            `bson:"user_id,omitempty"` // "" when it is not known yet whether there is such a person
	Account string            `bson:"account,omitempty"` // what somebody typed to be found by
	To      string            `bson:"to,omitempty"`      // an address other than the person's own
	Lang    string            `bson:"lang,omitempty"`
	Args    map[string]string `bson:"args,omitempty"`

	Attempts  int       `bson:"attempts"`
	NextAt    time.Time `bson:"next_at"`           // not to be tried before; moved ahead while somebody tries
	ExpiresAt time.Time `bson:"expires_at"`        // given up from then on
	DoneAt    time.Time `bson:"done_at,omitempty"` // sent, or given up if there is a LastError
	LastError string    `bson:"last_error,omitempty"`
	CreatedAt time.Time `bson:"created_at"`
	Version   int64     `bson:"version"`
}

// dueMail has Due as long as it is to be tried, so that the index of these is as small as their
// number.
type dueMail struct {
	Mail `bson:",inline"`
	Due  time.Time `bson:"due,omitempty"`
}

// keepMail is how long what became of a mail can be looked up.
const keepMail = 7 * 24 * time.Hour

var mails = register(table[Mail]{
	Table:   Table{Name: "mails", Indexes: []Index{{Fields: []string{"due"}, Sparse: true}}},
	id:      func(m *Mail) string { return m.ID },
	version: func(m *Mail) *int64 { return &m.Version },
	purgeAt: func(m *Mail) time.Time { return m.ExpiresAt.Add(keepMail) },
	stored: func(m *Mail) any {
		due := dueMail{Mail: *m}
		if m.DoneAt.IsZero() {
			due.Due = m.NextAt
		}
		return &due
	},
})

// CreateMail stores a mail with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateMail(ctx context.Context, m Mail) error {
	return create(ctx, s, "create mail", mails, m)
}

// LeaseMail hands out one mail that is due at now, not done and not expired: it moves NextAt to
// leaseUntil and counts the attempt. No two callers get the same one until then. ErrNotFound if
// none is due.
func (s *Store) LeaseMail(ctx context.Context, now, leaseUntil time.Time) (Mail, error) {
	const what = "lease mail"
	now, leaseUntil = millisecond(now), millisecond(leaseUntil)
	for {
		due, err := listIf(ctx, s.Records, what, mails, Query{Order: []string{"due"}, UpTo: now}, leaseChoice,
			func(m *Mail) bool { return now.Before(m.ExpiresAt) })
		if err != nil {
			return Mail{}, err
		}
		if len(due) == 0 {
			return Mail{}, ErrNotFound
		}
		for _, m := range due {
			// If the answer is lost, the mail waits until leaseUntil and is then tried by another
			// caller.
			leased, err := changeSeen(ctx, s, what, mails, m,
				existing(func(m *Mail) error { return m.lease(now, leaseUntil) }))
			if err != ErrNotFound { // the others have been leased by somebody else
				return leased, err
			}
		}
	}
}

func (m *Mail) lease(now, until time.Time) error {
	if !m.DoneAt.IsZero() || m.NextAt.After(now) || !now.Before(m.ExpiresAt) {
		return ErrNotFound
	}
	m.NextAt = until
	m.Attempts++
	return nil
}

// UpdateMail stores the outcome of an attempt: NextAt, DoneAt, LastError. What is done stays so,
// and a failure of an attempt that is not the last any more (its lease ran out, and Attempts has
// grown) changes nothing. No error if it is gone.
func (s *Store) UpdateMail(ctx context.Context, outcome Mail) error {
	_, err := change(ctx, s, "update mail", mails, outcome.ID,
		existing(func(m *Mail) error { return m.conclude(outcome) }))
	if err == ErrNotFound {
		return nil
	}
	return err
}

// conclude returns ErrNotFound if another attempt has been made since, whose outcome counts.
func (m *Mail) conclude(outcome Mail) error {
	sent := !outcome.DoneAt.IsZero() && outcome.LastError == ""
	if !m.DoneAt.IsZero() || (!sent && outcome.Attempts != m.Attempts) {
		return ErrNotFound
	}
	m.NextAt, m.DoneAt, m.LastError = outcome.NextAt, outcome.DoneAt, outcome.LastError
	return nil
}

// Mails lists mails from the oldest on, done ones too, beginning after the one with the given ID,
// at most limit.
func (r Records) Mails(ctx context.Context, after string, limit int) ([]Mail, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list mails", mails, Query{Order: []string{FieldID}, After: after, Limit: limit})
}
