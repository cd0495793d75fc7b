package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
)

// initialConfig is the configuration file that init writes.
const initialConfig = `# Configuration of Latchkey. Each key can also come from the environment: tls.cert_file is LATCHKEY_TLS_CERT_FILE.
# What is commented out shows the default. Check this file with: latchkey config check

# The address that people and applications know the provider by. It is part of every token, so choose it for good.
issuer: %s

# What the pages call the provider.
# name: Latchkey

# Where it answers.
# listen: 127.0.0.1:8080

# The folder of database and master key.
data: %s

# MongoDB, for more machines than one. The connection string holds a password, so keep it in a file of its own.
# mongodb_file: /etc/latchkey/mongodb

# https by itself ...
# tls:
#   cert_file: /etc/latchkey/tls.crt
#   key_file: /etc/latchkey/tls.key
# ... or behind a proxy that speaks https: its address.
# trusted_proxies: [127.0.0.1]

# Metrics and health, for operators.
# metrics_listen: 127.0.0.1:9464

# log:
#   format: text   # or json
#   level: info
`

func (sh *shell) initCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the data folder, the master key and a configuration file",
		Long: `Make the data folder, the master key (readable by its owner only), the database with its first signing key, and a configuration
file with comments. What is there already stays as it is.`,
		Example: `  latchkey init --issuer https://id.example.com --data /var/lib/latchkey --config /etc/latchkey.yaml`,
		Args:    exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				file = config.DefaultFile
			}
			_, err := os.Stat(file)
			made := errors.Is(err, fs.ErrNotExist)
			if err != nil && !made {
				return err
			}
			if !made {
				sh.configFile = file
			}
			c, err := sh.config(cmd)
			if err != nil {
				return err
			}
			if c.Issuer == "" {
				c.Issuer = "http://localhost:8080"
			}
			if err := config.CheckIssuer(c.Issuer); err != nil {
				return config.Fault{Key: "issuer", Text: err.Error()}
			}
			if err := c.CheckStore().OrNil(); err != nil {
				return err
			}
			s, err := open(cmd.Context(), c, slog.New(slog.DiscardHandler), true)
			if err != nil {
				return err
			}
			people, err := s.store.Users(cmd.Context(), "", 1)
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			if made {
				if err := writeConfig(file, c); err != nil {
					return err
				}
				sh.printf("Wrote %s.\n", file)
			} else {
				sh.printf("%s is there already and stays as it is.\n", file)
			}
			if c.MasterKey == "" {
				sh.printf("The master key is in %s. Keep a copy of it somewhere else than your backups of the\ndatabase: without it the database cannot be used.\n", c.MasterKeyPath())
			}
			named := ""
			if file != config.DefaultFile {
				named = " --config " + file
			}
			sh.printf("\nNext:\n  latchkey config check%[1]s\n  latchkey serve%[1]s\n", named)
			if len(people) == 0 {
				sh.printf("  latchkey user create%s YOUR-NAME --email YOU@EXAMPLE.COM\n", named)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration `FILE` to write (default latchkey.yaml)")
	f.String("issuer", "", "the provider's `URL` (default http://localhost:8080, to try it out)")
	f.String("data", "", "`FOLDER` of database and master key (default ./data)")
	f.String("mongodb", "", "connection `URI` of MongoDB, in place of the embedded database; it is not written to the file")
	return cmd
}

// writeConfig writes a configuration file that nobody else can read, and never over one that is
// there.
func writeConfig(file string, c config.Config) error {
	data := c.Data
	if abs, err := filepath.Abs(file); err == nil && !filepath.IsAbs(data) {
		// Paths in the file are meant from where it is.
		if absData, err := filepath.Abs(data); err == nil {
			if rel, err := filepath.Rel(filepath.Dir(abs), absData); err == nil {
				data = rel
			}
		}
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, initialConfig, quoteYAML(c.Issuer), quoteYAML(data))
	return errors.Join(err, f.Close())
}

// quoteYAML writes a text so that YAML reads it as it is.
func quoteYAML(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/._-") == "" &&
		!strings.Contains(s, ": ") && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, ":") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func (sh *shell) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what would be served, or everything that is wrong with the configuration",
		Example: `  latchkey config check --config /etc/latchkey.yaml
  latchkey config check --json`,
		Args: exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := sh.serverConfig(cmd)
			if err := errors.Join(err, c.CheckMasterKey()); err != nil {
				return err
			}
			return sh.printConfig(c)
		},
	}
	cmd.Flags().String("listen", "", "`ADDRESS` and port to answer at")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return commandGroup("config", "The configuration: check it", cmd)
}

func (sh *shell) printConfig(c config.Config) error {
	store := "SQLite, " + c.DatabaseFile()
	if c.MongoDB != "" || c.MongoDBFile != "" {
		store = "MongoDB"
	}
	transport := "http"
	switch {
	case c.TLS.CertFile != "":
		transport = "https with " + c.TLS.CertFile
	case len(c.TrustedProxies) > 0:
		transport = "http, from the proxies " + strings.Join(c.TrustedProxies, ", ")
	}
	key := c.MasterKeyPath()
	if c.MasterKey != "" {
		key = "[redacted]"
	}
	warnings := append(c.Warnings(), config.CertificateWarnings(&c, time.Now())...)
	if sh.json {
		settings := map[string]any{}
		for _, s := range c.Settings() {
			switch {
			case s.Secret && !s.Value.IsZero():
				settings[s.Key] = "[redacted]"
			default:
				settings[s.Key] = jsonValue(s)
			}
		}
		return sh.printJSON(map[string]any{"settings": settings, "store": store, "warnings": append([]string{},
			warnings...)})
	}
	rows := [][]string{{"issuer", c.Issuer}, {"discovery", c.Issuer + "/.well-known/openid-configuration"},
		{"answers at", c.Listen + ", " + transport},
		{"metrics at", c.MetricsListen}, {"store", store}, {"master key", key}, {"registration", c.Registration}}
	if c.File() != "" {
		rows = append([][]string{{"read from", c.File()}}, rows...)
	}
	if c.MetricsListen == "" {
		rows[len(rows)-4][1] = "nowhere"
	}
	fresh := config.Default()
	for i, s := range c.Settings() {
		if d := fresh.Settings()[i]; s.String() != d.String() && !s.Secret && !inRows(rows, s.Key) {
			rows = append(rows, []string{s.Key, s.String()})
		}
	}
	if err := sh.table(rows); err != nil {
		return err
	}
	for _, w := range warnings {
		sh.printf("warning: %s\n", w)
	}
	sh.printf("\nThe configuration is good.\n")
	return nil
}

func inRows(rows [][]string, key string) bool {
	for _, r := range rows {
		if r[0] == key {
			return true
		}
	}
	return key == "listen" || key == "metrics_listen" || key == "tls.cert_file" || key == "trusted_proxies"
}

func jsonValue(s config.Setting) any {
	if d, ok := s.Value.Interface().(config.Duration); ok {
		return d.String()
	}
	return s.Value.Interface()
}
