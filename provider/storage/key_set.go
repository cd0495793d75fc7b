package storage

import (
	"context"

	"latchkey/keys"
)

// keySet is the one record of its table.
type keySet struct {
	ID          string `bson:"_id"`
	keys.KeySet `bson:",inline"`
}

const keySetID = "keys"

var keySets = register(table[keySet]{
	Table:   Table{Name: "key_set"},
	id:      func(s *keySet) string { return s.ID },
	version: func(s *keySet) *int64 { return &s.KeySet.Version },
})

var _ keys.Store = (*Store)(nil)

// KeySet returns the signing keys; the zero KeySet when there are none yet.
func (r Records) KeySet(ctx context.Context) (keys.KeySet, error) {
	set, err := load(ctx, r, "load keys", keySets, keySetID)
	if err == ErrNotFound {
		return keys.KeySet{}, nil
	}
	return set.KeySet, err
}

// SwapKeySet stores the set if the stored Version is set.Version-1 (0 when there is none). Of any
// number of concurrent calls exactly one succeeds; for the others swapped is false and nothing
// changed.
func (s *Store) SwapKeySet(ctx context.Context, set keys.KeySet) (swapped bool, err error) {
	const what = "store keys"
	doc := keySet{ID: keySetID, KeySet: set}
	doc.Version--
	switch {
	case set.Version < 1:
		return false, nil
	case set.Version == 1:
		err = create(ctx, s, what, keySets, doc)
	default:
		err = replace(ctx, s, what, keySets, doc)
	}
	if err == ErrConflict || err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}
