package storage

import (
	"context"
)

// setting is a small value that never changes.
type setting struct {
	Name    string `bson:"_id"`
	Value   []byte `bson:"value"`
	Version int64  `bson:"version"`
}

var settings = register(table[setting]{
	Table:   Table{Name: "settings"},
	id:      func(s *setting) string { return s.Name },
	version: func(s *setting) *int64 { return &s.Version },
})

// SetOnce stores a small value under a name if there is none yet, and returns what is stored. All
// callers, racing or not, on any instance, get the same value.
func (s *Store) SetOnce(ctx context.Context, name string, value []byte) ([]byte, error) {
	if there, err := s.Setting(ctx, name); err != ErrNotFound {
		return there, err
	}
	if value == nil {
		value = []byte{}
	}
	stored, err := makeOr(ctx, s, "store setting", settings, setting{Name: name, Value: value},
		func(*setting) error { return ErrConsumed })
	if err == ErrConsumed {
		err = nil
	}
	return stored.Value, err
}

// Setting returns a value stored by SetOnce, or ErrNotFound.
func (r Records) Setting(ctx context.Context, name string) ([]byte, error) {
	there, err := load(ctx, r, "load setting", settings, name)
	return there.Value, err
}
