package admin

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
)

// What stands in the way of a call. They come wrapped in an *ObjectError that names the object.
var (
	ErrNotFound  = errors.New("admin: there is no such object")
	ErrTaken     = errors.New("admin: the name is taken")
	ErrConflict  = errors.New("admin: the object was changed by another administrator")
	ErrInUse     = errors.New("admin: the object is needed by another one")
	ErrForbidden = errors.New("admin: the actor may not do this")
	ErrLastOwner = errors.New("admin: nobody else is an owner")
)

// ObjectError says which object an error is about.
type ObjectError struct {
	Err  error  // one of the errors above
	Kind string // user, group, client, session, grant
	Name string // the username, the group's name or the client_id, as it was asked for
	// ErrInUse: the client_id of the client that needs it; ErrManaged: the manifest that keeps it
	By string
}

func (e *ObjectError) Error() string { return fmt.Sprintf("%v: %s %q", e.Err, e.Kind, e.Name) }
func (e *ObjectError) Unwrap() error { return e.Err }

// Reason says in one word why a field was refused.
type Reason string

// Reasons of a Fault.
const (
	Missing    Reason = "missing"
	Invalid    Reason = "invalid"   // Text says what was expected
	Weak       Reason = "weak"      // of passwords; Text says why
	Duplicate  Reason = "duplicate" // it is there twice; Value is what
	Taken      Reason = "taken"     // another object has it
	Unknown    Reason = "unknown"   // it names an object that does not exist; Value is which
	Unwanted   Reason = "unwanted"  // it excludes another field that was given
	Unreadable Reason = "unreadable"
)

// Fault is one thing that is wrong with the input.
type Fault struct {
	Field  string // by its JSON name and path: claims.email, redirect_uris, people[2].groups
	Reason Reason
	Value  string // what was given, where it may be repeated and helps
	// what was expected: a sentence, or what follows the field's name or the value, in lower case.
	// "" where the reason says all
	Text string
	Err  error // the refusal in the words of a standard, an *oauth.Error, if there is one
}

func (f Fault) Unwrap() error { return f.Err }

func (f Fault) Error() string {
	text := f.Text
	if text == "" {
		text = "is " + string(f.Reason)
	}
	if f.Value != "" {
		text = fmt.Sprintf("%q %s", f.Value, text)
	}
	return strings.TrimSpace(f.Field + " " + text)
}

// Faults are all that is wrong with the input, at least one.
type Faults []Fault

func (f Faults) Error() string {
	var texts []string
	for _, one := range f {
		texts = append(texts, one.Error())
	}
	return strings.Join(texts, "; ")
}

func (f Faults) Unwrap() []error {
	out := make([]error, len(f))
	for i, one := range f {
		out[i] = one
	}
	return out
}

// orNil is the faults as an error: nil if there are none.
func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// at puts a path before the field of each fault: claims and email make claims.email. Any other
// error stays as it is.
func at(path string, err error) error {
	var faults Faults
	if path == "" || !errors.As(err, &faults) {
		return err
	}
	out := make(Faults, len(faults))
	for i, f := range faults {
		f.Field = strings.TrimSuffix(path+"."+f.Field, ".")
		out[i] = f
	}
	return out
}

// collect adds what err says to the faults and returns any other error.
func (f *Faults) collect(err error) error {
	var more Faults
	if errors.As(err, &more) {
		*f = append(*f, more...)
		return nil
	}
	return err
}

// usernameFault is why a username was refused.
func usernameFault(field, value string, err error) error {
	var refusal people.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	return Faults{{Field: field, Reason: Invalid, Value: value, Text: string(refusal)}}
}

// metadataFaults are the refusals of package clients: one *oauth.Error, or several joined. Each
// stays in the chain.
func metadataFaults(err error) error {
	refusals := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		refusals = many.Unwrap()
	}
	var out Faults
	for _, one := range refusals {
		var e *oauth.Error
		if !errors.As(one, &e) {
			return err
		}
		// The sentence of such a refusal begins with the member that it is about.
		field, rest, _ := strings.Cut(e.Description, " ")
		if !slices.Contains(clientMembers(), field) {
			field, rest = "", e.Description
		}
		out = append(out, Fault{Field: field, Reason: Invalid, Text: rest, Err: e})
	}
	return out
}

// clientMembers are the names that the fields of a client have in JSON.
var clientMembers = sync.OnceValue(func() []string {
	var names []string
	for _, t := range []reflect.Type{reflect.TypeFor[clients.Metadata](), reflect.TypeFor[clients.Decisions](),
		reflect.TypeFor[clients.Client]()} {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return append(names, "client_secret")
})
