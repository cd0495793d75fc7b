package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// decision is a method of which one call may succeed.
type decision struct {
	command string // what it sends
	begin   func(ctx context.Context, s *storage.Store) error
	call    func(ctx context.Context, s *storage.Store) error
	lost    error // what a second call gets
}

var errNotSwapped = errors.New("not swapped")

func decisions() map[string]decision {
	nothing := func(context.Context, *storage.Store) error { return nil }
	swap := func(ctx context.Context, s *storage.Store, version int64) error {
		swapped, err := s.SwapKeySet(ctx, keys.KeySet{Version: version})
		if err == nil && !swapped {
			return errNotSwapped
		}
		return err
	}
	return map[string]decision{
		"RedeemCode": {"update",
			func(ctx context.Context, s *storage.Store) error { return s.CreateGrant(ctx, withCode("g")) },
			func(ctx context.Context, s *storage.Store) error {
				_, err := redeem(ctx, s, "g", "code of g", clock(0), clock(time.Hour), clock(time.Hour))
				return err
			}, storage.ErrConsumed},
		"RotateRefresh": {"update",
			func(ctx context.Context, s *storage.Store) error { return s.CreateGrant(ctx, withRefresh("g", 1)) },
			func(ctx context.Context, s *storage.Store) error {
				g, err := rotate(ctx, s, "g", 1, clock(0), clock(time.Hour))
				if err == nil && g.RefreshGeneration != 2 {
					err = fmt.Errorf("generation %d", g.RefreshGeneration)
				}
				return err
			}, storage.ErrConsumed},
		"ConsumeToken": {"update",
			func(ctx context.Context, s *storage.Store) error {
				return s.CreateToken(ctx, storage.Token{Hash: "h", Kind: "k", ExpiresAt: clock(time.Hour)})
			},
			func(ctx context.Context, s *storage.Store) error {
				_, err := s.ConsumeToken(ctx, "k", "h", clock(0))
				return err
			}, storage.ErrConsumed},
		"EndSession": {"update",
			func(ctx context.Context, s *storage.Store) error { return s.CreateSession(ctx, session("1")) },
			func(ctx context.Context, s *storage.Store) error {
				_, err := s.EndSession(ctx, "1", clock(0))
				return err
			}, storage.ErrConsumed},
		"RenewSession": {"update",
			func(ctx context.Context, s *storage.Store) error { return s.CreateSession(ctx, session("1")) },
			func(ctx context.Context, s *storage.Store) error {
				renewed := session("1")
				renewed.SecretHash = "new"
				return s.RenewSession(ctx, renewed, "secret of 1")
			}, storage.ErrConflict},
		"FinishInteraction": {"update",
			func(ctx context.Context, s *storage.Store) error {
				return s.CreateInteraction(ctx, storage.Interaction{ID: "i", ExpiresAt: clock(time.Hour)})
			},
			func(ctx context.Context, s *storage.Store) error { return s.FinishInteraction(ctx, "i") },
			storage.ErrNotFound},
		"Spend": {"insert", nothing,
			func(ctx context.Context, s *storage.Store) error {
				return s.Spend(ctx, "k", "id", clock(0), clock(time.Hour))
			}, storage.ErrConsumed},
		"CreateUser": {"insert", nothing,
			func(ctx context.Context, s *storage.Store) error {
				return s.CreateUser(ctx, storage.User{ID: "u", Username: "u"})
			}, storage.ErrConflict},
		"CreateGrant": {"insert", nothing,
			func(ctx context.Context, s *storage.Store) error { return s.CreateGrant(ctx, withCode("g")) },
			storage.ErrConflict},
		"UpdateUser": {"update",
			func(ctx context.Context, s *storage.Store) error {
				return s.CreateUser(ctx, storage.User{ID: "u", Username: "u"})
			},
			func(ctx context.Context, s *storage.Store) error {
				return s.UpdateUser(ctx, storage.User{ID: "u", Username: "u", Version: 1})
			}, storage.ErrConflict},
		"UpdateClient": {"update",
			func(ctx context.Context, s *storage.Store) error {
				return s.CreateClient(ctx, clients.Client{ID: "c"})
			},
			func(ctx context.Context, s *storage.Store) error {
				return s.UpdateClient(ctx, clients.Client{ID: "c", Version: 1})
			}, storage.ErrConflict},
		"UpdateGroup": {"update",
			func(ctx context.Context, s *storage.Store) error {
				return s.CreateGroup(ctx, storage.Group{Name: "g"})
			},
			func(ctx context.Context, s *storage.Store) error {
				return s.UpdateGroup(ctx, storage.Group{Name: "g", Version: 1})
			}, storage.ErrConflict},
		"SettleEvent": {"update",
			func(ctx context.Context, s *storage.Store) error {
				return s.AppendEvent(ctx, storage.Event{ID: "e", Outcome: storage.OutcomeBegun})
			},
			func(ctx context.Context, s *storage.Store) error {
				if all, err := s.Events(ctx, storage.EventFilter{}, "", 1); err == nil && len(all) == 1 &&
					all[0].Outcome == storage.OutcomeDone {
					return storage.ErrConsumed
				}
				return s.SettleEvent(ctx, "e", storage.OutcomeDone, "")
			}, storage.ErrConsumed},
		"SwapKeySet first": {"insert", nothing,
			func(ctx context.Context, s *storage.Store) error { return swap(ctx, s, 1) }, errNotSwapped},
		"SwapKeySet next": {"update",
			func(ctx context.Context, s *storage.Store) error { return swap(ctx, s, 1) },
			func(ctx context.Context, s *storage.Store) error { return swap(ctx, s, 2) }, errNotSwapped},
	}
}

// broken runs a test for each decision, on a store of its own behind a proxy. What the test begins
// with has happened already.
func broken(t *testing.T, run func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy)) {
	t.Helper()
	t.Parallel()
	for name, d := range decisions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := behindProxy(t)
			must(t, d.begin(patient(t), s))
			run(t, d, s, p)
		})
	}
}

func behindProxy(t *testing.T) (*storage.Store, *storagetest.Proxy) {
	t.Helper()
	p := storagetest.NewProxy(t, storagetest.MongoURI(t))
	s, err := storage.OpenMongoDB(patient(t), p.URI())
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s, p
}

// unclear checks that an error says nothing about who won.
func unclear(t *testing.T, err error) {
	t.Helper()
	for _, answer := range []error{nil, storage.ErrNotFound, storage.ErrConsumed, storage.ErrConflict, errNotSwapped} {
		if errors.Is(err, answer) {
			t.Fatalf("got %v, where nobody can know", err)
		}
	}
	want(t, err, storage.ErrUnavailable)
}

func TestALostAnswerIsNotALostRace(t *testing.T) {
	broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
		p.Next(d.command, storagetest.CutAfter())
		must(t, d.call(patient(t), s))
		equal(t, p.Left(), 0)
		want(t, d.call(patient(t), s), d.lost)
	})
}

func TestALostAnswerIsNotALostRaceOnAServerThatForgets(t *testing.T) {
	broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
		p.Next(d.command, storagetest.CutAndForget(), storagetest.CutAndForget())
		must(t, d.call(patient(t), s))
		equal(t, p.Left(), 0)
		want(t, d.call(patient(t), s), d.lost)
	})
}

func TestALostCommandIsSentAgain(t *testing.T) {
	broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
		p.Next(d.command, storagetest.CutBefore())
		must(t, d.call(patient(t), s))
		equal(t, p.Left(), 0)
		want(t, d.call(patient(t), s), d.lost)
	})
}

func TestAnElectionIsWaitedFor(t *testing.T) {
	broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
		p.Next(d.command,
			storagetest.Refuse(10107, "NotWritablePrimary"),
			storagetest.Refuse(189, "PrimarySteppedDown"),
			storagetest.Refuse(11602, "InterruptedDueToReplStateChange"),
			storagetest.Refuse(91, "ShutdownInProgress"))
		must(t, d.call(patient(t), s))
		equal(t, p.Left(), 0)
		want(t, d.call(patient(t), s), d.lost)
	})
}

func TestAnAnswerThatNeverComesIsUnclear(t *testing.T) {
	for name, fault := range map[string]storagetest.Fault{
		"cut":     storagetest.CutAfter().Always(),
		"stalled": storagetest.Stall().Always(),
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
				p.Next(d.command, fault)
				ctx, cancel := context.WithCancel(patient(t))
				defer cancel()
				go func() {
					<-p.Withheld()
					cancel()
				}()
				unclear(t, d.call(ctx, s))
				p.Clear()
				want(t, d.call(patient(t), s), d.lost) // it had happened
			})
		})
	}
}

func TestWhatNoMajorityHasConfirmedIsUnclear(t *testing.T) {
	broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
		p.Next(d.command, storagetest.NoMajority())
		unclear(t, d.call(patient(t), s))
		equal(t, p.Left(), 0)
		want(t, d.call(patient(t), s), d.lost)
	})
}

func TestWithoutAServerNothingIsDecided(t *testing.T) {
	broken(t, func(t *testing.T, d decision, s *storage.Store, p *storagetest.Proxy) {
		p.Down()
		ctx, cancel := context.WithTimeout(patient(t), 300*time.Millisecond)
		defer cancel()
		unclear(t, d.call(ctx, s))
		p.Up()
		must(t, d.call(patient(t), s))
		want(t, d.call(patient(t), s), d.lost)
	})
}

func TestOneOfManyWinsWhileAnswersAreLost(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t)
	must(t, s.CreateGrant(patient(t), withCode("g")))
	// No more of them: after each, the driver waits half a second before it tries the server again.
	p.Next("update", storagetest.CutAfter(), storagetest.CutBefore(), storagetest.CutAndForget())
	oneWins(t, storage.ErrConsumed, func(int) error {
		_, err := redeem(patient(t), s, "g", "code of g", clock(0), clock(time.Hour), clock(time.Hour))
		return err
	})
	equal(t, p.Left(), 0)
}

func TestRevokingManyCountsWhatALostAnswerRevoked(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t)
	for i := range 3 {
		must(t, s.CreateGrant(patient(t), withCode(fmt.Sprint(i))))
	}
	p.Next("update", storagetest.CutAfter(), storagetest.Refuse(10107, "NotWritablePrimary"), storagetest.CutBefore())
	n, err := s.RevokeGrants(patient(t), storage.GrantFilter{SessionID: "s"}, clock(0))
	must(t, err)
	equal(t, n, 3)
	equal(t, p.Left(), 0)
}

func TestAnElectionIsWaitedForByWhatChangesMany(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t)
	ctx := patient(t)
	must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "u"}))
	must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "c"}))
	must(t, s.CreateSession(ctx, session("1")))
	p.Next("delete", storagetest.Refuse(189, "PrimarySteppedDown"), storagetest.CutAfter())
	must(t, s.DeleteUser(ctx, "u"))
	p.Next("delete", storagetest.Refuse(11600, "InterruptedAtShutdown"), storagetest.CutBefore())
	n, err := s.Purge(ctx, clock(1000*time.Hour))
	must(t, err)
	equal(t, []int{n, p.Left()}, []int{1, 0})
	p.Next("createIndexes", storagetest.Refuse(10107, "NotWritablePrimary"), storagetest.CutAfter())
	again, err := storage.OpenMongoDB(ctx, p.URI())
	must(t, err)
	must(t, again.Close())
	equal(t, p.Left(), 0)
}

func TestMongoDBRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"", "localhost:27017", "postgres://localhost/", "mongodb://",
		"mongodb://user:hunter2%zz@localhost/x", "mongodb://localhost/%zz"} {
		s, err := storage.OpenMongoDB(patient(t), uri)
		if err == nil {
			s.Close()
			t.Errorf("%q was accepted", uri)
		} else if errorText := err.Error(); len(errorText) > 400 || strings.Contains(errorText, "hunter2") {
			t.Errorf("%q: %s", uri, errorText)
		}
	}
}
