package storage

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// maxMemo bounds how many records of one kind are remembered. When there are more, all are
// forgotten.
const maxMemo = 1024

// memo remembers the records that were decoded last, each with the document that it was decoded
// from. It answers only for the very same document, byte by byte, and the document is read from the
// database every time: a remembered record is never older than the database, whichever process or
// instance changed it. What is saved is the decoding.
type memo[T any] struct {
	copy func(*T) T

	mu   sync.RWMutex
	seen map[string]decoded[T] // by ID
}

type decoded[T any] struct {
	doc    []byte
	record *T
}

func newMemo[T any]() *memo[T] {
	return &memo[T]{copy: copier[T](), seen: map[string]decoded[T]{}}
}

// get returns a copy of the record that was decoded from the document.
func (m *memo[T]) get(id string, doc []byte) (r T, ok bool) {
	m.mu.RLock()
	d, ok := m.seen[id]
	m.mu.RUnlock()
	if !ok || !bytes.Equal(d.doc, doc) {
		return r, false
	}
	return m.copy(d.record), true
}

// put remembers a copy of the record.
func (m *memo[T]) put(id string, doc []byte, r *T) {
	mine := m.copy(r)
	d := decoded[T]{bytes.Clone(doc), &mine}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) >= maxMemo {
		clear(m.seen)
	}
	m.seen[id] = d
}

// copier makes a function that copies a record, so that the copy shares nothing that can be written
// to. It panics, when the table is declared, for a type with a field that it cannot copy.
func copier[T any]() func(*T) T {
	type part struct {
		index   []int
		pointer bool
	}
	var parts []part
	var walk func(t reflect.Type, index []int)
	walk = func(t reflect.Type, index []int) {
		for i := range t.NumField() {
			f, at := t.Field(i), append(append([]int(nil), index...), i)
			switch kind := f.Type.Kind(); {
			case f.Type == reflect.TypeFor[time.Time](): // its pointer leads to what nobody changes
			case kind == reflect.Struct:
				walk(f.Type, at)
			case kind == reflect.Slice && plain(f.Type.Elem()):
				parts = append(parts, part{at, false})
			case kind == reflect.Pointer && plain(f.Type.Elem()):
				parts = append(parts, part{at, true})
			case !plain(f.Type):
				panic(fmt.Sprintf("storage: records of type %s cannot be remembered: %s is a %s", t, f.Name, f.Type))
			}
		}
	}
	walk(reflect.TypeFor[T](), nil)
	return func(r *T) T {
		out := *r
		v := reflect.ValueOf(&out).Elem()
		for _, p := range parts {
			f := v.FieldByIndex(p.index)
			switch {
			case f.IsNil():
			case p.pointer:
				own := reflect.New(f.Type().Elem())
				own.Elem().Set(f.Elem())
				f.Set(own)
			default:
				own := reflect.MakeSlice(f.Type(), f.Len(), f.Len())
				reflect.Copy(own, f)
				f.Set(own)
			}
		}
		return out
	}
}

// plain reports whether values of the type refer to nothing that can be written to.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	}
	return false
}
