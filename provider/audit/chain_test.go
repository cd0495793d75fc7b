package audit_test

import (
	"sync"
	"testing"
	"time"

	"latchkey/provider/audit"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// chained is a log with n events, sealed at three times.
func chained(t *testing.T, s *storage.Store, n int) (l *audit.Log, now *time.Time) {
	t.Helper()
	at := noon
	l = &audit.Log{Store: s, Now: func() time.Time { return at }, Keep: 24 * time.Hour}
	for i := range n {
		l.Note(t.Context(), storage.Event{Verb: "user.update", Actor: storage.EventParty{Kind: storage.ActorUser,
			ID: "u"}, Object: storage.EventParty{Kind: "user", ID: "v"}, After: []byte(`{"n":1}`)})
		at = at.Add(time.Minute)
		if i == n/3 || i == 2*n/3 {
			_, err := l.Seal(t.Context(), s)
			must(t, err)
		}
	}
	at = at.Add(time.Hour)
	_, err := l.Seal(t.Context(), s)
	must(t, err)
	return l, &at
}

func TestTheChainFindsWhatWasChangedAddedOrRemoved(t *testing.T) {
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		l, now := chained(t, s, 40)
		v, err := l.Verify(t.Context(), s, "")
		must(t, err)
		if len(v.Faults) != 0 || v.Events != 40 || v.Seals < 3 || v.Open != 0 || v.Head == "" {
			t.Fatalf("%+v", v)
		}
		head := v.Head
		// What comes later goes on from there, and the head that was noted is still among it.
		l.Note(t.Context(), storage.Event{Verb: "user.delete"})
		*now = now.Add(time.Minute)
		if v, err = l.Verify(t.Context(), s, head); err != nil || len(v.Faults) != 0 || v.Open != 1 || !v.Seen {
			t.Errorf("%+v %v", v, err)
		}
		if v, err = l.Verify(t.Context(), s, "0123"); err != nil || len(v.Faults) != 1 {
			t.Errorf("a head of another chain: %+v %v", v, err)
		}
		// An event that is slipped in between.
		must(t, s.AppendEvent(t.Context(), storage.Event{ID: storage.NewEventID(noon.Add(90 * time.Second)), Time: noon,
			Verb: "user.forged", Outcome: storage.OutcomeDone, ExpiresAt: now.Add(time.Hour)}))
		if v, err = l.Verify(t.Context(), s, ""); err != nil || len(v.Faults) != 1 || v.Events == 40 {
			t.Errorf("an event was added: %+v %v", v, err)
		}
	})
}

func TestTheChainFindsAnEventThatIsGone(t *testing.T) {
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		at := noon
		l := &audit.Log{Store: s, Now: func() time.Time { return at }, Keep: 24 * time.Hour}
		l.Note(t.Context(), storage.Event{Verb: "user.update"})
		// one that somebody lets expire early
		must(t, s.AppendEvent(t.Context(), storage.Event{ID: storage.NewEventID(at), Time: at, Verb: "user.delete",
			Outcome: storage.OutcomeDone, ExpiresAt: at.Add(2 * time.Hour)}))
		at = at.Add(time.Hour)
		n, err := l.Seal(t.Context(), s)
		must(t, err)
		if n != 2 {
			t.Fatalf("%d sealed", n)
		}
		at = at.Add(2 * time.Hour)
		_, err = s.Purge(t.Context(), at)
		must(t, err)
		v, err := l.Verify(t.Context(), s, "")
		must(t, err)
		if len(v.Faults) != 1 {
			t.Errorf("%+v", v)
		}
		// What is gone because its time has come is no fault.
		at = at.Add(48 * time.Hour)
		_, err = s.Purge(t.Context(), at)
		must(t, err)
		if v, err = l.Verify(t.Context(), s, ""); err != nil || len(v.Faults) != 0 || v.Expired != 1 {
			t.Errorf("%+v %v", v, err)
		}
	})
}

func TestSeveralInstancesMakeOneChain(t *testing.T) {
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		at := noon
		l := &audit.Log{Store: s, Now: func() time.Time { return at }}
		for range 30 {
			l.Note(t.Context(), storage.Event{Verb: "user.update"})
		}
		at = at.Add(time.Hour)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := l.Seal(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if v, err := l.Verify(t.Context(), s, ""); err != nil || len(v.Faults) != 0 || v.Events != 30 || v.Seals != 1 {
			t.Errorf("%+v %v", v, err)
		}
	})
}
