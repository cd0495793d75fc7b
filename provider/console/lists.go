package console

import (
	"slices"
	"strings"
)

// matching are the rows in whose text every word of a search stands, in any case. It is for lists
// that are short enough to be read whole.
func matching[T any](all []T, search string, text func(T) string) []T {
	words := strings.Fields(strings.ToLower(search))
	if len(words) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(row T) bool {
		in := strings.ToLower(text(row))
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(in, w) })
	})
}

// after are the rows of a list, sorted by key, that come after the cursor of the call.
func after[T any](all []T, c *call, key func(T) string) []T {
	if c.cursor == "" {
		return all
	}
	i, found := slices.BinarySearchFunc(all, c.cursor, func(row T, cursor string) int {
		return strings.Compare(key(row),
			cursor)
	})
	if found {
		i++
	}
	return all[i:]
}
