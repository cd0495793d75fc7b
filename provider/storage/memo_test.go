package storage

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"latchkey/provider/clients"
)

// fill sets every field of a struct to something that is not zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Struct:
			if f.Type().PkgPath() != "time" {
				fill(t, f)
			}
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 2, 8))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		default:
			t.Fatalf("%s is a %s", v.Type().Field(i).Name, f.Kind())
		}
	}
}

// shared lists the fields by which two records refer to the same memory.
func shared(a, b reflect.Value) (names []string) {
	for i := range a.NumField() {
		switch f := a.Field(i); f.Kind() {
		case reflect.Struct:
			if f.Type().PkgPath() != "time" {
				names = append(names, shared(f, b.Field(i))...)
			}
		case reflect.Slice, reflect.Pointer, reflect.Map:
			if !f.IsNil() && f.Pointer() == b.Field(i).Pointer() {
				names = append(names, a.Type().Field(i).Name)
			}
		}
	}
	return names
}

func TestCopiesOfRememberedRecordsShareNothing(t *testing.T) {
	t.Parallel()
	var c clients.Client
	fill(t, reflect.ValueOf(&c).Elem())
	own := copier[clients.Client]()(&c)
	if !reflect.DeepEqual(own, c) {
		t.Errorf("the copy differs: %+v", own)
	}
	if names := shared(reflect.ValueOf(c), reflect.ValueOf(own)); len(names) > 0 {
		t.Errorf("the copy shares %v", names)
	}
	if cap(own.RedirectURIs) != len(own.RedirectURIs) {
		t.Error("what is appended to the copy could be seen by others")
	}
	if names := shared(reflect.ValueOf(c), reflect.ValueOf(c)); len(names) < 10 {
		t.Errorf("the control finds only %v", names)
	}
	zero := copier[clients.Client]()(&clients.Client{})
	if !reflect.DeepEqual(zero, clients.Client{}) {
		t.Errorf("the copy of nothing is %+v", zero)
	}
	type inner struct{ List []string }
	type deep struct {
		Map   map[string]inner
		Slice []inner
		To    *inner
		At    time.Time
	}
	of := func() inner { return inner{[]string{"a"}} }
	original := deep{map[string]inner{"k": of()}, []inner{of()}, &inner{[]string{"a"}}, time.Unix(1, 0)}
	copied := copier[deep]()(&original)
	if !reflect.DeepEqual(copied, original) {
		t.Errorf("the copy differs: %+v", copied)
	}
	copied.Map["k"].List[0], copied.Slice[0].List[0], copied.To.List[0] = "b", "b", "b"
	copied.Map["l"] = of()
	if original.Map["k"].List[0]+original.Slice[0].List[0]+original.To.List[0] != "aaa" || len(original.Map) != 1 {
		t.Errorf("the copy shares what is inside: %+v", original)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a type with a channel can be remembered")
			}
		}()
		copier[struct{ C chan int }]()
	}()
}

func TestRecordIsRememberedForItsVeryDocument(t *testing.T) {
	t.Parallel()
	m := newMemo[Group]()
	one, other := []byte("one document"), []byte("one documenu")
	g := Group{Name: "staff", Roles: []string{"reader"}}
	m.put("staff", one, &g)
	g.Roles[0] = "changed by its owner"
	got, ok := m.get("staff", one)
	if !ok || got.Roles[0] != "reader" {
		t.Fatalf("%v, %+v", ok, got)
	}
	got.Roles[0] = "changed by a reader"
	if again, _ := m.get("staff", one); !slices.Equal(again.Roles, []string{"reader"}) {
		t.Errorf("%+v", again)
	}
	one[0] = 'O' // the caller's bytes
	if _, ok := m.get("staff", one); ok {
		t.Error("another document is answered with it")
	}
	for name, ok := range map[string]bool{"of another document": second(m.get("staff", other)),
		"of another ID": second(m.get("nobody", []byte("one document")))} {
		if ok {
			t.Errorf("there is a record %s", name)
		}
	}
	for i := range 3 * maxMemo {
		m.put(fmt.Sprint(i), other, &g)
		if len(m.seen) > maxMemo {
			t.Fatalf("%d are remembered", len(m.seen))
		}
	}
}

func second[T any](_ T, ok bool) bool { return ok }
