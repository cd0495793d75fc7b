package storage_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func delivery(id string) storage.LogoutDelivery {
	return storage.LogoutDelivery{ID: id, LogoutID: "l", ClientID: "client " + id, CreatedAt: clock(0),
		NextAt: clock(0), ExpiresAt: clock(time.Hour)}
}

func TestLogoutDeliveries(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		lease := func(at, until time.Duration) (storage.LogoutDelivery, error) {
			return s.LeaseLogoutDelivery(ctx, clock(at), clock(until))
		}
		none := func(at time.Duration) {
			t.Helper()
			d, err := lease(at, at+time.Minute)
			want(t, err, storage.ErrNotFound)
			equal(t, d, storage.LogoutDelivery{})
		}
		none(0)
		a, b := delivery("a"), delivery("b")
		a.NextAt, b.LogoutID = clock(time.Minute), "another"
		must(t, s.CreateLogoutDelivery(ctx, a))
		want(t, s.CreateLogoutDelivery(ctx, a), storage.ErrConflict)
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
		must(t, s.UpdateLogoutDelivery(ctx, stale))
		none(2 * time.Minute)

		a = got
		a.NextAt, a.LastError = clock(10*time.Minute), "connection refused"
		must(t, s.UpdateLogoutDelivery(ctx, a))
		none(10*time.Minute - time.Millisecond)
		got, err = lease(10*time.Minute, 11*time.Minute)
		must(t, err)
		equal(t, got.LastError, "connection refused")
		got.DeliveredAt, got.LastError = clock(10*time.Minute), ""
		must(t, s.UpdateLogoutDelivery(ctx, got))
		late := got
		late.DeliveredAt, late.LastError = time.Time{}, "too late"
		must(t, s.UpdateLogoutDelivery(ctx, late)) // what was delivered stays so
		none(30 * time.Minute)
		all, err := s.LogoutDeliveries(ctx, "l")
		must(t, err)
		got.Version = 0
		equal(t, all, []storage.LogoutDelivery{kept(got)})

		must(t, s.CreateLogoutDelivery(ctx, b))
		none(time.Hour) // it has expired by then
		c := delivery("c")
		c.DeliveredAt = clock(0)
		must(t, s.CreateLogoutDelivery(ctx, c))
		got, err = lease(0, time.Minute)
		must(t, err)
		equal(t, got.ID, "b")
		none(0)
		must(t, s.CreateLogoutDelivery(ctx, storage.LogoutDelivery{ID: "0", LogoutID: "l", ClientID: "z",
			ExpiresAt: clock(time.Hour)}))
		all, err = s.LogoutDeliveries(ctx, "l")
		must(t, err)
		if len(all) != 3 || all[0].ID != "a" || all[1].ID != "c" || all[2].ID != "0" {
			t.Errorf("deliveries: %+v", all)
		}
		must(t, s.UpdateLogoutDelivery(ctx, delivery("gone")))
		all, err = s.LogoutDeliveries(ctx, "none")
		must(t, err)
		equal(t, len(all), 0)
	})
}

func TestNoTwoLeaseTheSameDelivery(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		const due = 5
		for i := range due {
			must(t, s.CreateLogoutDelivery(patient(t), delivery(fmt.Sprint(i))))
		}
		var leased sync.Map
		won := race(t, storage.ErrNotFound, func(int) error {
			d, err := s.LeaseLogoutDelivery(patient(t), clock(0), clock(time.Minute))
			if err == nil {
				if _, twice := leased.LoadOrStore(d.ID, true); twice {
					t.Errorf("delivery %s was leased twice", d.ID)
				}
			}
			return err
		})
		equal(t, won, due)
	})
}

func TestDeliveriesThatWaitAreCounted(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		count := func(at time.Duration, want int, oldest time.Duration) {
			t.Helper()
			n, created, err := s.WaitingLogoutDeliveries(ctx, clock(at))
			must(t, err)
			if n != want || n > 0 && !created.Equal(clock(oldest).Truncate(time.Millisecond)) {
				t.Errorf("at %v: %d, oldest %v", at, n, created)
			}
		}
		count(0, 0, 0)
		for i, at := range []time.Duration{2 * time.Minute, time.Minute} {
			must(t, s.CreateLogoutDelivery(ctx, storage.LogoutDelivery{ID: fmt.Sprint("d", i), LogoutID: "l",
				ClientID: fmt.Sprint(i), NextAt: clock(at + time.Hour), CreatedAt: clock(at),
				ExpiresAt: clock(at + 24*time.Hour)}))
		}
		count(3*time.Minute, 2, time.Minute)
		all, err := s.LogoutDeliveries(ctx, "l")
		must(t, err)
		all[1].DeliveredAt = clock(3 * time.Minute)
		must(t, s.UpdateLogoutDelivery(ctx, all[1]))
		count(3*time.Minute, 1, 2*time.Minute)
		count(25*time.Hour, 0, 0) // given up
	})
}
