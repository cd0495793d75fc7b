package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestFailedRequests(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		one := storage.FailedRequest{ID: "1", RequestID: "AAAA", ClientID: "notes", Time: clock(0), Route: "/authorize",
			Status: 400, Reason: "no", Received: map[string]string{"redirect_uri": "https://a.example"}}
		must(t, s.CreateFailedRequest(ctx, one))
		want(t, s.CreateFailedRequest(ctx, storage.FailedRequest{ID: "2", RequestID: "AAAA", Time: clock(0)}),
			storage.ErrConflict)
		must(t, s.CreateFailedRequest(ctx, storage.FailedRequest{ID: "2", RequestID: "BBBB", ClientID: "notes",
			Time: clock(0)}))
		must(t, s.CreateFailedRequest(ctx, storage.FailedRequest{ID: "3", RequestID: "CCCC", ClientID: "other",
			Time: clock(0)}))
		got, err := s.FailedRequest(ctx, "AAAA")
		must(t, err)
		equal(t, got, kept(one))
		_, err = s.FailedRequest(ctx, "none")
		want(t, err, storage.ErrNotFound)
		all, err := s.FailedRequests(ctx, "notes", 10)
		must(t, err)
		if len(all) != 2 || all[0].ID != "2" {
			t.Errorf("%+v", all)
		}
		_, err = s.Purge(ctx, clock(8*24*time.Hour))
		must(t, err)
		_, err = s.FailedRequest(ctx, "AAAA")
		want(t, err, storage.ErrNotFound)
	})
}
