package storage

import (
	"context"
	"time"
)

// LogoutDelivery is one logout token on its way to one application (OIDC Back-Channel Logout §2.5).
// It is kept until it arrived or was given up, so that a restart forgets nobody.
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
	Version     int64     `bson:"version"`
}

// dueDelivery has Due as long as it is to be tried, so that the index of these is as small as their
// number.
type dueDelivery struct {
	LogoutDelivery `bson:",inline"`
	Due            time.Time `bson:"due,omitempty"`
}

var deliveries = register(table[LogoutDelivery]{
	Table: Table{Name: "logout_deliveries", Indexes: []Index{
		{Fields: []string{"logout_id", "client_id"}},
		{Fields: []string{"due"}, Sparse: true},
	}},
	id:      func(d *LogoutDelivery) string { return d.ID },
	version: func(d *LogoutDelivery) *int64 { return &d.Version },
	purgeAt: func(d *LogoutDelivery) time.Time { return d.ExpiresAt.Add(keepExpired) },
	stored: func(d *LogoutDelivery) any {
		due := dueDelivery{LogoutDelivery: *d}
		if d.DeliveredAt.IsZero() {
			due.Due = d.NextAt
		}
		return &due
	},
})

// CreateLogoutDelivery stores a delivery with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateLogoutDelivery(ctx context.Context, d LogoutDelivery) error {
	return create(ctx, s, "create logout delivery", deliveries, d)
}

// leaseChoice is how many due deliveries LeaseLogoutDelivery looks at before it asks again.
const leaseChoice = 16

// LeaseLogoutDelivery hands out one delivery that is due at now, not delivered and not expired: it
// moves NextAt to leaseUntil and counts the attempt. No two callers get the same one until then.
// ErrNotFound if none is due.
func (s *Store) LeaseLogoutDelivery(ctx context.Context, now, leaseUntil time.Time) (LogoutDelivery, error) {
	const what = "lease logout delivery"
	now, leaseUntil = millisecond(now), millisecond(leaseUntil)
	for {
		due, err := listIf(ctx, s.Records, what, deliveries, Query{Order: []string{"due"}, UpTo: now}, leaseChoice,
			func(d *LogoutDelivery) bool { return now.Before(d.ExpiresAt) })
		if err != nil {
			return LogoutDelivery{}, err
		}
		if len(due) == 0 {
			return LogoutDelivery{}, ErrNotFound
		}
		for _, d := range due {
			// If the answer is lost, the delivery waits until leaseUntil and is then tried by
			// another caller.
			leased, err := changeSeen(ctx, s, what, deliveries, d, existing(func(d *LogoutDelivery) error {
				return d.lease(now, leaseUntil)
			}))
			if err != ErrNotFound { // the others have been leased by somebody else
				return leased, err
			}
		}
	}
}

func (d *LogoutDelivery) lease(now, until time.Time) error {
	if !d.DeliveredAt.IsZero() || d.NextAt.After(now) || !now.Before(d.ExpiresAt) {
		return ErrNotFound
	}
	d.NextAt = until
	d.Attempts++
	return nil
}

// UpdateLogoutDelivery stores the outcome of an attempt: NextAt, DeliveredAt, LastError. What was
// delivered stays so, and a failure of an attempt that is not the last any more (its lease ran out,
// and Attempts has grown) changes nothing. No error if it is gone.
func (s *Store) UpdateLogoutDelivery(ctx context.Context, outcome LogoutDelivery) error {
	_, err := change(ctx, s, "update logout delivery", deliveries, outcome.ID, existing(func(d *LogoutDelivery) error {
		return d.conclude(outcome)
	}))
	if err == ErrNotFound {
		return nil
	}
	return err
}

// conclude returns ErrNotFound if another attempt has been made since, whose outcome counts.
func (d *LogoutDelivery) conclude(outcome LogoutDelivery) error {
	if !d.DeliveredAt.IsZero() || (outcome.DeliveredAt.IsZero() && outcome.Attempts != d.Attempts) {
		return ErrNotFound
	}
	d.NextAt, d.DeliveredAt, d.LastError = outcome.NextAt, outcome.DeliveredAt, outcome.LastError
	return nil
}

// waitingMost bounds how many deliveries WaitingLogoutDeliveries looks at.
const waitingMost = 1000

// WaitingLogoutDeliveries returns how many deliveries are still to be made at now, 1000 if there
// are more, and when the oldest of them was created.
func (r Records) WaitingLogoutDeliveries(ctx context.Context, now time.Time) (n int, oldest time.Time, err error) {
	waiting, err := list(ctx, r, "count logout deliveries", deliveries, Query{Order: []string{"due"},
		After: time.UnixMilli(0), Limit: waitingMost})
	for _, d := range waiting {
		if !now.Before(d.ExpiresAt) { // given up
			continue
		}
		if n++; oldest.IsZero() || d.CreatedAt.Before(oldest) {
			oldest = d.CreatedAt
		}
	}
	return n, oldest, err
}

// LogoutDeliveries lists the deliveries of one logout, delivered ones too, by ClientID.
func (r Records) LogoutDeliveries(ctx context.Context, logoutID string) ([]LogoutDelivery, error) {
	return list(ctx, r, "list logout deliveries", deliveries,
		Query{Where: []Match{is("logout_id", logoutID)}, Order: []string{"client_id", FieldID}})
}
