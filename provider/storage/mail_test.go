package storage_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func mail(id string) storage.Mail {
	return storage.Mail{ID: id, Kind: "reset", Account: "ada", Args: map[string]string{"a": "b"}, CreatedAt: clock(0),
		NextAt: clock(0), ExpiresAt: clock(time.Hour)}
}

func TestMails(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		lease := func(at, until time.Duration) (storage.Mail, error) {
			return s.LeaseMail(ctx, clock(at),
				clock(until))
		}
		none := func(at time.Duration) {
			t.Helper()
			m, err := lease(at, at+time.Minute)
			want(t, err, storage.ErrNotFound)
			equal(t, m, storage.Mail{})
		}
		none(0)
		a := mail("a")
		a.NextAt = clock(time.Minute)
		must(t, s.CreateMail(ctx, a))
		want(t, s.CreateMail(ctx, a), storage.ErrConflict)
		none(time.Minute - time.Millisecond)

		got, err := lease(time.Minute, 2*time.Minute)
		must(t, err)
		a.NextAt, a.Attempts = clock(2*time.Minute), 1
		equal(t, got, kept(a))
		none(time.Minute)
		got, err = lease(2*time.Minute, 3*time.Minute) // the lease ran out
		must(t, err)
		equal(t, got.Attempts, 2)

		stale := a
		stale.NextAt, stale.LastError = clock(time.Minute), "from a lease that ran out"
		must(t, s.UpdateMail(ctx, stale))
		stale.DoneAt = clock(time.Minute)
		must(t, s.UpdateMail(ctx, stale))
		none(2 * time.Minute)

		got.NextAt, got.LastError = clock(10*time.Minute), "connection refused"
		must(t, s.UpdateMail(ctx, got))
		none(10*time.Minute - time.Millisecond)
		got, err = lease(10*time.Minute, 11*time.Minute)
		must(t, err)
		equal(t, got.LastError, "connection refused")
		got.DoneAt, got.LastError = clock(10*time.Minute), ""
		must(t, s.UpdateMail(ctx, got))
		late := got
		late.DoneAt, late.LastError = time.Time{}, "too late"
		must(t, s.UpdateMail(ctx, late)) // what was sent stays so
		none(30 * time.Minute)

		must(t, s.CreateMail(ctx, mail("b")))
		none(time.Hour) // it has expired by then
		all, err := s.Mails(ctx, "", 10)
		must(t, err)
		got.Version = 0
		equal(t, all, []storage.Mail{kept(got), kept(mail("b"))})
		all, err = s.Mails(ctx, "a", 10)
		must(t, err)
		equal(t, len(all), 1)
		all, err = s.Mails(ctx, "", 0)
		must(t, err)
		equal(t, len(all), 0)
		must(t, s.UpdateMail(ctx, mail("gone")))
		n, err := s.Purge(ctx, clock(time.Hour+7*24*time.Hour+time.Second))
		must(t, err)
		equal(t, n, 2)
	})
}

func TestNoTwoLeaseTheSameMail(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		const due = 5
		for i := range due {
			must(t, s.CreateMail(patient(t), mail(fmt.Sprint(i))))
		}
		var leased sync.Map
		won := race(t, storage.ErrNotFound, func(int) error {
			m, err := s.LeaseMail(patient(t), clock(0), clock(time.Minute))
			if err == nil {
				if _, twice := leased.LoadOrStore(m.ID, true); twice {
					t.Errorf("mail %s was leased twice", m.ID)
				}
			}
			return err
		})
		equal(t, won, due)
	})
}
