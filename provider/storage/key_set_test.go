package storage_test

import (
	"errors"
	"fmt"
	"testing"

	"latchkey/keys"
	"latchkey/provider/storage"
)

func TestKeySet(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		set, err := s.KeySet(ctx)
		must(t, err)
		equal(t, set, keys.KeySet{})
		swap := func(version int64, want bool) {
			t.Helper()
			swapped, err := s.SwapKeySet(ctx, keys.KeySet{Version: version,
				Keys: []keys.StoredKey{{ID: fmt.Sprint("key ", version)}}})
			must(t, err)
			equal(t, swapped, want)
		}
		swap(0, false)
		swap(2, false)
		set, err = s.KeySet(ctx)
		must(t, err)
		equal(t, set, keys.KeySet{})
		swap(1, true)
		swap(1, false)
		swap(3, false)
		swap(2, true)
		set, err = s.KeySet(ctx)
		must(t, err)
		equal(t, set, keys.KeySet{Version: 2, Keys: []keys.StoredKey{{ID: "key 2"}}})
	})
}

func TestOneOfManySwapsTheKeySet(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		errLost := errors.New("not swapped")
		for version := range int64(3) {
			oneWins(t, errLost, func(i int) error {
				swapped, err := s.SwapKeySet(patient(t), keys.KeySet{Version: version + 1,
					Keys: []keys.StoredKey{{ID: fmt.Sprint(i)}}})
				if err == nil && !swapped {
					return errLost
				}
				return err
			})
		}
	})
}
