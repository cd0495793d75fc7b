package oauth

import (
	"encoding/json"
)

// OneOrMany writes a single value as a string (RFC 7519 §4.1.3).
func OneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// StringOrList reads a claim that may be written either way, such as aud (RFC 7519 §4.1.3).
func StringOrList(raw json.RawMessage) ([]string, error) {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		return []string{one}, nil
	}
	var many []string
	err := json.Unmarshal(raw, &many)
	return many, err
}
