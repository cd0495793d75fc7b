package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	maxText   = 200      // bytes of a name in an event
	maxMember = 2 << 10  // bytes of one value in Before or After
	maxObject = 16 << 10 // bytes of Before or After
)

// Diff returns the members in which two values differ, as two JSON objects; nil is the value of
// what is not there, before it was created or after it was deleted. Values are written as
// encoding/json writes them: what has the tag json:"-", as all that is secret has, is in neither.
// An object inside is compared by its members: claims.email. A value of more than 2 KiB is replaced
// by its length.
func Diff(before, after any) (from, to json.RawMessage, err error) {
	a, err := members(before)
	if err != nil {
		return nil, nil, err
	}
	b, err := members(after)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range a {
		if bytes.Equal(value, b[name]) {
			delete(a, name)
			delete(b, name)
		}
	}
	if from, err = object(a); err != nil {
		return nil, nil, err
	}
	to, err = object(b)
	return from, to, err
}

// members is a value's members by name, those of objects inside by their path.
func members(v any) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	if v == nil {
		return out, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write %T for the audit log: %w", v, err)
	}
	if string(text) == "null" {
		return out, nil
	}
	return out, flatten(out, "", text)
}

func flatten(out map[string]json.RawMessage, path string, text json.RawMessage) error {
	var inside map[string]json.RawMessage
	if err := json.Unmarshal(text, &inside); err != nil {
		return fmt.Errorf("read %q for the audit log: %w", path, err)
	}
	for name, value := range inside {
		at := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case value[0] == '{' && name != "jwks":
			if err := flatten(out, at, value); err != nil {
				return err
			}
		default:
			out[at] = value
		}
	}
	return nil
}

// object writes members as one JSON object, or nil if there are none. Of too many only the names
// are written.
func object(m map[string]json.RawMessage) (json.RawMessage, error) {
	if len(m) == 0 {
		return nil, nil
	}
	total := 0
	for name, value := range m {
		if len(value) > maxMember {
			m[name] = json.RawMessage(fmt.Sprintf(`"[%d bytes]"`, len(value)))
		}
		total += len(name) + len(m[name])
	}
	if total > maxObject {
		for name := range m {
			m[name] = json.RawMessage(`"[…]"`)
		}
	}
	return json.Marshal(m)
}

// clip bounds a text in an event, at the end of a character.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}
