package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"latchkey/keys"
)

// DatabaseFile is the embedded database in the data folder.
func (c *Config) DatabaseFile() string { return filepath.Join(c.Data, "latchkey.db") }

// MasterKeyPath is where the master key is looked for, unless it is in the configuration itself.
func (c *Config) MasterKeyPath() string {
	if c.MasterKeyFile != "" {
		return c.MasterKeyFile
	}
	return filepath.Join(c.Data, "master.key")
}

// MongoURI is the connection string, also from a file; "" when the embedded database is used.
func (c *Config) MongoURI() (string, error) {
	if c.MongoDBFile == "" {
		return c.MongoDB, nil
	}
	return ReadSecretFile("mongodb_file", c.MongoDBFile)
}

// Exists reports, as an error, that there is no database yet, so that a read-only command with a
// mistyped path does not create one.
func (c *Config) Exists() error {
	if c.MongoDB != "" || c.MongoDBFile != "" {
		return nil
	}
	if _, err := os.Stat(c.DatabaseFile()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database in %s; name its folder with --data, or begin with: latchkey init",
			c.Data)
	}
	return nil
}

// PublishKeys is how long a replaced key stays published: for the life of every token that others
// verify by it, and of their caches.
func (c *Config) PublishKeys() time.Duration {
	return time.Duration(max(c.Lifetimes.AccessToken, c.Lifetimes.IDToken)) + keys.MaxAge
}

// KeepKeys is how long a replaced key is kept: as long as an ID token is worth something as a hint,
// and longer than any token lasts.
func (c *Config) KeepKeys() time.Duration {
	return time.Duration(max(30*Day, c.Lifetimes.RememberedAbsolute, c.Lifetimes.SessionAbsolute))
}
