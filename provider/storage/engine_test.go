package storage_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider/storage"
)

// The contract of the engines: what every record rests on, on a table that has everything a table
// can have.

func engineContract(t *testing.T, run func(t *testing.T, e storage.Engine)) {
	t.Helper()
	contract(t, func(t *testing.T, s *storage.Store) {
		s.Wrap(func(e storage.Engine) storage.Engine {
			run(t, e)
			return e
		})
	})
}

func thing(id string) storage.Thing {
	return storage.Thing{ID: id, Name: "name of " + id, Owner: "o", Rank: clock(0), EndsAt: clock(48 * time.Hour),
		Version: 1}
}

// insert makes a Thing, which must be a new one.
func insert(t *testing.T, e storage.Engine, thing storage.Thing) error {
	row, err := storage.ThingRow(thing)
	must(t, err)
	_, err = e.Update(patient(t), storage.Things, thing.ID, storage.Change{Next: &row,
		Apply: storage.ThingChange(func(there *storage.Thing, exists bool) error {
			if exists {
				return storage.ErrConflict
			}
			*there = thing
			return nil
		})})
	return err
}

func getThing(t *testing.T, e storage.Engine, id string) storage.Thing {
	t.Helper()
	row, err := e.Get(patient(t), storage.Things, id)
	must(t, err)
	thing, err := storage.ThingOf(row)
	must(t, err)
	return thing
}

func TestEngineMakesARecordOnce(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		oneWins(t, storage.ErrConflict, func(i int) error {
			one := thing("1")
			one.Name, one.Tags = fmt.Sprint("name ", i), []string{fmt.Sprint("tag ", i)}
			return insert(t, e, one)
		})
		got := getThing(t, e, "1")
		found := 0
		for i := range callers {
			must(t, e.List(patient(t), storage.Things,
				storage.Query{Where: []storage.Match{{Field: "tags", Value: fmt.Sprint("tag ", i)}}},
				func(row storage.Row) (bool, error) {
					found++
					equal(t, row.ID, "1")
					return true, nil
				}))
		}
		equal(t, []any{found, got.Version}, []any{1, int64(1)})
	})
}

func TestEngineSwapsAVersionOnce(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		must(t, insert(t, e, thing("1")))
		for _, guess := range []bool{true, false} { // with a Next that was made before, and without
			seen := getThing(t, e, "1").Version
			oneWins(t, storage.ErrConsumed, func(i int) error {
				c := storage.Change{Apply: storage.ThingChange(func(there *storage.Thing, exists bool) error {
					if there.Version != seen {
						return storage.ErrConsumed
					}
					there.Count = i
					return nil
				})}
				if guess {
					next := thing("1")
					next.Count, next.Version = i, seen+1
					row, err := storage.ThingRow(next)
					must(t, err)
					c.Next, c.Seen = &row, seen
				}
				row, err := e.Update(patient(t), storage.Things, "1", c)
				if row.Version != seen+1 {
					t.Errorf("got version %d along with %v, want %d", row.Version, err, seen+1)
				}
				return err
			})
			equal(t, getThing(t, e, "1").Version, seen+1)
		}
	})
}

func TestEngineLosesNoTransition(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		must(t, insert(t, e, thing("1")))
		won := race(t, nil, func(int) error {
			_, err := e.Update(patient(t), storage.Things, "1",
				storage.Change{Apply: storage.ThingChange(func(there *storage.Thing, _ bool) error {
					there.Count++
					return nil
				})})
			return err
		})
		got := getThing(t, e, "1")
		equal(t, []any{won, got.Count, got.Version}, []any{callers, callers, int64(callers + 1)})
	})
}

func TestEngineKeepsUniqueValues(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		oneWins(t, storage.ErrConflict, func(i int) error {
			one := thing(fmt.Sprint(i))
			one.Name = "the name"
			return insert(t, e, one)
		})
		other := thing("other")
		other.Tags = []string{"before"}
		must(t, insert(t, e, other))
		for _, guess := range []bool{true, false} {
			c := storage.Change{Apply: storage.ThingChange(func(there *storage.Thing, _ bool) error {
				there.Name, there.Tags = "the name", []string{"after"}
				return nil
			})}
			if guess {
				next := other
				next.Name, next.Version = "the name", 2
				row, err := storage.ThingRow(next)
				must(t, err)
				c.Next, c.Seen = &row, 1
			}
			_, err := e.Update(patient(t), storage.Things, "other", c)
			want(t, err, storage.ErrConflict)
			equal(t, getThing(t, e, "other"), kept(other))
		}
		equal(t, listed(t, e, storage.Query{Where: []storage.Match{{Field: "tags", Value: "after"}}}), "")
		equal(t, listed(t, e, storage.Query{Where: []storage.Match{{Field: "tags", Value: "before"}}}), "other")
	})
}

func TestEngineReturnsWhatWasRefused(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		refuse := storage.Change{Apply: storage.ThingChange(func(_ *storage.Thing, exists bool) error {
			if !exists {
				return storage.ErrNotFound
			}
			return storage.ErrConsumed
		})}
		row, err := e.Update(patient(t), storage.Things, "1", refuse)
		want(t, err, storage.ErrNotFound)
		equal(t, row.Version, int64(0))
		_, err = e.Get(patient(t), storage.Things, "1")
		want(t, err, storage.ErrNotFound)
		must(t, insert(t, e, thing("1")))
		row, err = e.Update(patient(t), storage.Things, "1", refuse)
		want(t, err, storage.ErrConsumed)
		equal(t, []any{row.ID, row.Version}, []any{"1", int64(1)})
	})
}

// listed is the IDs of the records that a query finds.
func listed(t *testing.T, e storage.Reader, q storage.Query) string {
	t.Helper()
	var ids []string
	must(t, e.List(patient(t), storage.Things, q, func(row storage.Row) (bool, error) {
		ids = append(ids, row.ID)
		return true, nil
	}))
	return strings.Join(ids, " ")
}

func TestEngineLists(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		for i, id := range []string{"a", "b", "c", "d"} {
			one := thing(id)
			one.Rank = clock(time.Duration(i) * time.Minute)
			if i%2 == 0 {
				one.Due, one.Inside.A = clock(time.Duration(10-i)*time.Minute), "x"
			} else {
				one.Owner, one.Inside.B = "p", "x"
			}
			one.Tags = []string{"all", id}
			must(t, insert(t, e, one))
		}
		where := func(field string, value any) []storage.Match { return []storage.Match{{Field: field, Value: value}} }
		for _, c := range []struct {
			q    storage.Query
			want string
		}{
			{storage.Query{Order: []string{"_id"}}, "a b c d"},
			{storage.Query{Order: []string{"-_id"}, Limit: 3}, "d c b"},
			{storage.Query{Order: []string{"_id"}, After: "b"}, "c d"},
			{storage.Query{Order: []string{"-_id"}, After: "c", UpTo: "b"}, "b"},
			{storage.Query{Where: where("owner", "o"), Order: []string{"-rank", "_id"}}, "c a"},
			{storage.Query{Where: where("owner", "p"), Order: []string{"rank"}}, "b d"},
			{storage.Query{Order: []string{"due"}, UpTo: clock(10 * time.Minute)}, "c a"},
			{storage.Query{Order: []string{"due"}, UpTo: clock(9 * time.Minute)}, "c"},
			{storage.Query{Where: where("tags", "c")}, "c"},
			{storage.Query{Where: where("tags", "all"), Order: []string{"name"}}, "a b c d"},
			{storage.Query{Where: where("name", "name of b")}, "b"},
			{storage.Query{Where: where("name", "nobody")}, ""},
			{storage.Query{Where: []storage.Match{{Field: "inside.a", Or: "inside.b", Value: "x"}},
				Order: []string{"_id"}}, "a b c d"},
			{storage.Query{Where: []storage.Match{{Field: "inside.a", Value: "x"}, {Field: "owner", Value: "o"}},
				Order: []string{"_id"}}, "a c"},
		} {
			if got := listed(t, e, c.q); got != c.want {
				t.Errorf("%+v: %q, want %q", c.q, got, c.want)
			}
		}
		owners, err := e.Values(patient(t), storage.Things, "owner")
		must(t, err)
		equal(t, owners, []string{"o", "p"})
		names, err := e.Values(patient(t), storage.Things, "name", where("owner", "p")...)
		must(t, err)
		equal(t, names, []string{"name of b", "name of d"})
		must(t, e.View(patient(t), func(r storage.Reader) error {
			row, err := r.Get(patient(t), storage.Things, "a")
			must(t, err)
			equal(t, row.ID, "a")
			equal(t, listed(t, r, storage.Query{Where: where("owner", "p"), Order: []string{"_id"}}), "b d")
			return nil
		}))
	})
}

func TestEngineSweepsAndRemovesWhatMatches(t *testing.T) {
	engineContract(t, func(t *testing.T, e storage.Engine) {
		const n = 1100 // more than one step
		race := make(chan int, n)
		for i := range n {
			race <- i
		}
		close(race)
		errs := make(chan error, 16)
		for range cap(errs) {
			go func() {
				var err error
				for i := range race {
					one := thing(fmt.Sprintf("%04d", i))
					one.Kept, one.Tags = i%100 == 0, []string{fmt.Sprint(i % 10)}
					if i == 7 {
						one.Owner = "p"
					}
					err = insert(t, e, one)
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			must(t, <-errs)
		}
		stale := getThing(t, e, "0001")
		stamp := storage.Stamp{Field: "gone", At: clock(0), PurgeAt: clock(24 * time.Hour)}
		where := []storage.Match{{Field: "owner", Value: "o"}, {Field: "kept"}}
		swept, err := e.Sweep(patient(t), storage.Things, stamp, where...)
		must(t, err)
		equal(t, swept, n-n/100-1)
		stamp.At = clock(time.Hour)
		swept, err = e.Sweep(patient(t), storage.Things, stamp, where...) // each once
		must(t, err)
		equal(t, swept, 0)
		got := getThing(t, e, "0001")
		equal(t, []any{got.Gone, got.Version}, []any{kept(clock(0)), int64(2)})
		equal(t, getThing(t, e, "0000").Gone, time.Time{})
		equal(t, getThing(t, e, "0007").Gone, time.Time{})

		// Whoever has read the record before the sweep does not write over it.
		stale.Version = 2
		row, err := storage.ThingRow(stale)
		must(t, err)
		_, err = e.Update(patient(t), storage.Things, "0001", storage.Change{Next: &row, Seen: 1,
			Apply: storage.ThingChange(func(there *storage.Thing, _ bool) error {
				if !there.Gone.IsZero() {
					return storage.ErrConsumed
				}
				return nil
			})})
		want(t, err, storage.ErrConsumed)

		// The purge time of what was swept came closer.
		purged, err := e.Purge(patient(t), clock(25*time.Hour))
		must(t, err)
		equal(t, purged, n-n/100-1)
		removed, err := e.Remove(patient(t), storage.Things, storage.Match{Field: "owner", Value: "o"})
		must(t, err)
		equal(t, removed, n/100)
		removed, err = e.Remove(patient(t), storage.Things, storage.Match{Field: storage.FieldID, Value: "0001"})
		must(t, err)
		equal(t, removed, 0)
		equal(t, listed(t, e, storage.Query{}), "0007")
		for i := range 10 {
			left := listed(t, e, storage.Query{Where: []storage.Match{{Field: "tags", Value: fmt.Sprint(i)}}})
			equal(t, left != "", i == 7)
		}
	})
}

func TestIDsSortByTheirTime(t *testing.T) {
	t.Parallel()
	var ids []string
	for i := range 100 {
		id := storage.NewID(noon.Add(time.Duration(i) * time.Millisecond))
		if len(id) != 22 || strings.ContainsAny(id, "+/=. ") || id[0] == '-' {
			t.Errorf("ID %q", id)
		}
		ids = append(ids, id)
	}
	if !slices.IsSorted(ids) {
		t.Errorf("not in order: %q", ids)
	}
	if first, second := storage.NewID(noon), storage.NewID(noon); first == second {
		t.Error("two IDs of one moment are the same")
	}
}
