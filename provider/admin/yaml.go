package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v4"
)

// EntryYAML is an entry of a manifest as YAML: the name of its section, groups, people or clients,
// and below it the entry.
func EntryYAML(section string, entry any) ([]byte, error) {
	text, err := json.Marshal(map[string]any{section: []any{entry}})
	if err != nil {
		return nil, fmt.Errorf("write a manifest entry: %w", err)
	}
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	blockStyle(&n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err = errors.Join(enc.Encode(&n), enc.Close())
	return b.Bytes(), err
}

// blockStyle takes away what JSON looks like; texts stay in quotes where they need them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}
