package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
)

func tree() *cobra.Command {
	sh := &shell{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	return sh.rootCommand()
}

func TestEveryKeyOfTheConfigurationIsDocumentedWithItsDefault(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		if rows[m[1]] != "" {
			t.Errorf("README.md has %s twice", m[1])
		}
		rows[m[1]] = m[2]
	}
	c := config.Default()
	for _, s := range c.Settings() {
		row, ok := rows[s.Key]
		if !ok {
			t.Errorf("README.md says nothing about %s", s.Key)
			continue
		}
		delete(rows, s.Key)
		if value := s.String(); value != "" && s.Key != "data" {
			said := regexp.MustCompile(`Default (.+?)\.?$`).FindStringSubmatch(row)
			if _, duration := s.Value.Interface().(config.Duration); duration && said != nil {
				var d config.Duration
				if err := d.UnmarshalText([]byte(said[1])); err != nil {
					t.Errorf("README.md says of %s: %q: %v", s.Key, row, err)
				}
				said[1] = d.String()
			}
			if said == nil || said[1] != value {
				t.Errorf("README.md says of %s: %q; its default is %s", s.Key, row, value)
			}
		}
	}
	for key := range rows {
		t.Errorf("README.md documents %s, which does not exist", key)
	}
}

// TestEveryCommandThatIsWrittenDownExists reads what the documentation and the help tell people to
// type.
func TestEveryCommandThatIsWrittenDownExists(t *testing.T) {
	t.Parallel()
	written := map[string][]string{} // by where it stands
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile("`([^`\n]*latchkey [^`\n]+)`")
	for _, file := range append(files, "../../README.md", "../../CHANGELOG.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```") {
			if i%2 == 1 {
				_, block, _ = strings.Cut(block, "\n") // the language
				written[file] = append(written[file], strings.Split(block, "\n")...)
				continue
			}
			for _, m := range inline.FindAllStringSubmatch(block, -1) {
				written[file] = append(written[file], m[1])
			}
		}
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		written[c.CommandPath()+" --help"] = strings.Split(c.Example, "\n")
		if c.Example == "" && !c.HasSubCommands() && len(c.Use) > len(c.Name()) && strings.Contains(c.Use, "...") {
			t.Errorf("%s takes several arguments and has no example", c.CommandPath())
		}
		if c.Short == "" {
			t.Errorf("%s does not say what it does", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(tree())

	checked := 0
	for where, lines := range written {
		for _, line := range lines {
			if err := checkWritten(line, &checked); err != nil {
				t.Errorf("%s: %q: %v", where, strings.TrimSpace(line), err)
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d commands were found", checked)
	}
}

var program = regexp.MustCompile(`(?:^|[\s|(]|bin/)latchkey((?:\s+\S+)+)`)

func checkWritten(line string, checked *int) error {
	line, _, _ = strings.Cut(line, " #")
	if strings.Contains(line, "docker") || strings.Contains(line, "go build") || strings.Contains(line, "-o ") {
		return nil
	}
	for _, m := range program.FindAllStringSubmatch(line, -1) {
		words := strings.Fields(m[1])
		if end := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w, "|&;>)") }); end >= 0 {
			words = words[:end]
		}
		if len(words) == 0 {
			continue
		}
		*checked++
		cmd, rest, err := tree().Find(words)
		if err != nil {
			return err
		}
		if cmd.HasSubCommands() && !strings.Contains(cmd.Use, " ") && len(rest) > 0 && !strings.HasPrefix(rest[0],
			"-") {
			return fmt.Errorf("%s has no command %s", cmd.CommandPath(), rest[0])
		}
		for _, w := range rest {
			name, _, _ := strings.Cut(strings.TrimPrefix(w, "--"), "=")
			if strings.HasPrefix(w, "--") && name != "help" && cmd.Flags().Lookup(name) == nil {
				return fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
			}
		}
	}
	return nil
}
