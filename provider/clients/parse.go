package clients

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"latchkey/keys"
)

// members maps the name of every member of Metadata to its field.
var members = func() map[string]int {
	out := map[string]int{}
	t := reflect.TypeFor[Metadata]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out[name] = i
	}
	return out
}()

// knownMember reports whether name is a member of client metadata that means something to us.
func knownMember(name string) bool { _, ok := members[name]; return ok }

// ParseMetadata reads client metadata as a client sends it: a JSON object, its members of exactly
// the names and types of RFC 7591 §2 and OIDC Registration §2. A member that is null counts as not
// sent (RFC 7592 §2.2), and one that is not known is ignored (RFC 7591 §2), as are names with a
// language tag; rest has those, for whoever looks for something else in there. Nothing is validated
// beyond types: that is for Validate.
//
// The error is an *oauth.Error with the code invalid_client_metadata.
func ParseMetadata(raw []byte) (m Metadata, rest map[string]json.RawMessage, err error) {
	if err := keys.CheckJSON(raw); err != nil {
		return Metadata{}, nil, invalid("the body must be a JSON object with client metadata: %s", err)
	}
	if t := bytes.TrimLeft(raw, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return Metadata{}, nil, invalid("the body must be a JSON object with client metadata")
	}
	if err := json.Unmarshal(raw, &rest); err != nil {
		return Metadata{}, nil, invalid("the body must be a JSON object with client metadata")
	}
	v := reflect.ValueOf(&m).Elem()
	for name, value := range rest {
		if !knownMember(name) {
			continue
		}
		delete(rest, name)
		if string(value) == "null" {
			continue
		}
		field := v.Field(members[name])
		if field.Type() == reflect.TypeFor[json.RawMessage]() {
			if value[0] != '{' {
				return Metadata{}, nil, invalid("%s must be a JSON object", name)
			}
			field.SetBytes(value)
			continue
		}
		// null inside a list would become an empty string, which is nobody's intention.
		if err := json.Unmarshal(value, field.Addr().Interface()); err != nil || field.Kind() == reflect.Slice &&
			containsNull(value) {
			return Metadata{}, nil, invalid("%s must be %s", name, typeName(field.Type()))
		}
	}
	return m, rest, nil
}

func containsNull(list json.RawMessage) bool {
	var elements []*string
	if json.Unmarshal(list, &elements) != nil {
		return true
	}
	for _, e := range elements {
		if e == nil {
			return true
		}
	}
	return false
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list of strings"
	case reflect.Bool:
		return "true or false"
	case reflect.Pointer:
		return "a whole number"
	}
	return "a string"
}
