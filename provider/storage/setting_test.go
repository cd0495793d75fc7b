package storage_test

import (
	"testing"

	"latchkey/provider/storage"
)

func TestSetOnceGivesEverybodyTheSame(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		_, err := s.Setting(ctx, "name")
		want(t, err, storage.ErrNotFound)
		values := make([]string, callers)
		race(t, nil, func(i int) error {
			v, err := s.SetOnce(ctx, "name", []byte{0, byte(i), 255})
			values[i] = string(v)
			return err
		})
		stored, err := s.Setting(ctx, "name")
		must(t, err)
		for _, v := range values {
			if v != string(stored) || len(v) != 3 {
				t.Fatalf("one got %q, stored is %q", v, stored)
			}
		}
		again, err := s.SetOnce(ctx, "name", []byte("later"))
		must(t, err)
		equal(t, again, stored)
		other, err := s.SetOnce(ctx, "other", nil)
		must(t, err)
		equal(t, len(other), 0)
		other, err = s.SetOnce(ctx, "other", []byte("x"))
		must(t, err)
		equal(t, len(other), 0)
	})
}
