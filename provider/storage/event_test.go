package storage_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestEventComesBackAsItWasStored(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		e := full[storage.Event]()
		e.ID = storage.NewEventID(e.Time)
		must(t, s.AppendEvent(ctx, e))
		want(t, s.AppendEvent(ctx, e), storage.ErrConflict)
		e.Version = 1
		got, err := s.Events(ctx, storage.EventFilter{}, "", 10)
		must(t, err)
		equal(t, got, []storage.Event{kept(e)})
	})
}

func TestEventIDsSortByTimeAndThenByOrder(t *testing.T) {
	var ids []string
	for i := range 3 {
		for range 100 {
			ids = append(ids, storage.NewEventID(noon.Add(time.Duration(i)*time.Microsecond)))
		}
	}
	if !slices.IsSorted(ids) {
		t.Error("the identifiers of events are not in the order in which they were made")
	}
}

func TestEventsAreFilteredAndListedFromTheNewest(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		ada := storage.EventParty{Kind: storage.ActorUser, ID: "u1", Name: "ada"}
		root := storage.EventParty{Kind: storage.ActorCommand, Name: "root@host"}
		shop := storage.EventParty{Kind: "client", ID: "shop", Name: "The shop"}
		for i, e := range []storage.Event{
			{Actor: root, Verb: "client.create", Object: shop},
			{Actor: ada, Verb: "session.begin", Object: ada},
			{Actor: root, Verb: "client.update", Object: shop},
			{Actor: root, Verb: "clients.*", Object: storage.EventParty{Kind: "group", Name: "shop"}},
			{Actor: root, Verb: "user.update", Object: ada, ExpiresAt: clock(time.Hour)},
		} {
			e.Time = clock(time.Duration(i) * time.Minute)
			e.ID, e.Reason = storage.NewEventID(e.Time), fmt.Sprint(i)
			must(t, s.AppendEvent(ctx, e))
		}
		for _, c := range []struct {
			name   string
			filter storage.EventFilter
			want   string
		}{
			{"no filter", storage.EventFilter{}, "43210"},
			{"actor by name", storage.EventFilter{Actor: "root@host"}, "4320"},
			{"actor by id", storage.EventFilter{Actor: "u1"}, "1"},
			{"actor by kind", storage.EventFilter{ActorKind: "user"}, "1"},
			{"verb prefix with a dot", storage.EventFilter{VerbPrefix: "client."}, "20"},
			{"verb prefix with a pattern's characters", storage.EventFilter{VerbPrefix: "clients.*"}, "3"},
			{"object by id or name", storage.EventFilter{Object: "shop"}, "320"},
			{"object by kind and name", storage.EventFilter{ObjectKind: "group", Object: "shop"}, "3"},
			{"actor and object", storage.EventFilter{Actor: "root@host", Object: "ada"}, "4"},
			{"since includes its moment", storage.EventFilter{Since: clock(2 * time.Minute)}, "432"},
			{"until excludes its moment", storage.EventFilter{Until: clock(2 * time.Minute)}, "10"},
			{"nothing matches", storage.EventFilter{Actor: "nobody"}, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				var got, paged string
				events, err := s.Events(ctx, c.filter, "", 100)
				must(t, err)
				for _, e := range events {
					got += e.Reason
				}
				equal(t, got, c.want)
				for cursor := ""; ; {
					page, err := s.Events(ctx, c.filter, cursor, 1)
					must(t, err)
					if len(page) == 0 {
						break
					}
					paged, cursor = paged+page[0].Reason, page[0].ID
				}
				equal(t, paged, c.want)
			})
		}
		none, err := s.Events(ctx, storage.EventFilter{}, "", 0)
		must(t, err)
		equal(t, len(none), 0)

		n, err := s.Purge(ctx, clock(48*time.Hour))
		must(t, err)
		equal(t, n, 1)
		left, err := s.Events(ctx, storage.EventFilter{}, "", 100)
		must(t, err)
		equal(t, len(left), 4)
	})
}

func TestEventIsSettledOnce(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		want(t, s.SettleEvent(ctx, "none", storage.OutcomeDone, ""), storage.ErrNotFound)
		e := storage.Event{ID: storage.NewEventID(noon), Time: noon, Verb: "user.delete", Outcome: storage.OutcomeBegun,
			Before: json.RawMessage(`{"username":"ada"}`)}
		must(t, s.AppendEvent(ctx, e))
		must(t, s.SettleEvent(ctx, e.ID, storage.OutcomeRefused, "conflict"))
		must(t, s.SettleEvent(ctx, e.ID, storage.OutcomeDone, ""))
		got, err := s.Events(ctx, storage.EventFilter{}, "", 1)
		must(t, err)
		e.Outcome, e.Reason = storage.OutcomeRefused, "conflict"
		equal(t, got, []storage.Event{kept(e)})
	})
}
