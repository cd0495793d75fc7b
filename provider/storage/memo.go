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
	own := owner(reflect.TypeFor[T]())
	return func(r *T) T {
		out := *r
		if own != nil {
			own(reflect.ValueOf(&out).Elem())
		}
		return out
	}
}

// owner makes a function that gives a value, which is a plain copy of another, memory of its own in
// place of what it shares with that. It is nil for a type whose values refer to nothing that can be
// written to.
func owner(t reflect.Type) func(reflect.Value) {
	if plain(t) || t == reflect.TypeFor[time.Time]() { // its pointer leads to what nobody changes
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return fieldsOwner(t)
	case reflect.Slice:
		element := owner(t.Elem())
		return func(v reflect.Value) {
			if v.IsNil() {
				return
			}
			own := reflect.MakeSlice(t, v.Len(), v.Len())
			reflect.Copy(own, v)
			v.Set(own)
			for i := 0; element != nil && i < own.Len(); i++ {
				element(own.Index(i))
			}
		}
	case reflect.Pointer:
		element := owner(t.Elem())
		return func(v reflect.Value) {
			if v.IsNil() {
				return
			}
			own := reflect.New(t.Elem())
			own.Elem().Set(v.Elem())
			v.Set(own)
			if element != nil {
				element(own.Elem())
			}
		}
	case reflect.Map:
		element := owner(t.Elem())
		return func(v reflect.Value) {
			if v.IsNil() {
				return
			}
			own := reflect.MakeMapWithSize(t, v.Len())
			for i := v.MapRange(); i.Next(); {
				of := reflect.New(t.Elem()).Elem()
				of.Set(i.Value())
				if element != nil {
					element(of)
				}
				own.SetMapIndex(i.Key(), of)
			}
			v.Set(own)
		}
	}
	panic(fmt.Sprintf("storage: a record with a %s cannot be remembered", t))
}

// fieldsOwner is owner for a struct.
func fieldsOwner(t reflect.Type) func(reflect.Value) {
	type part struct {
		index int
		own   func(reflect.Value)
	}
	var parts []part
	for i := range t.NumField() {
		if own := owner(t.Field(i).Type); own != nil {
			parts = append(parts, part{i, own})
		}
	}
	if parts == nil {
		return nil
	}
	return func(v reflect.Value) {
		for _, p := range parts {
			p.own(v.Field(p.index))
		}
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
