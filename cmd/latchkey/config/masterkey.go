package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"latchkey/keys"
)

// NewMasterKeyPath is where rekey keeps the new master key until it is in place.
func (c *Config) NewMasterKeyPath() string { return c.MasterKeyPath() + ".new" }

// PrimaryMasterKey is the master key that the configuration names.
func (c *Config) PrimaryMasterKey() ([]byte, error) {
	if c.MasterKey != "" {
		return keys.ParseMasterKey(c.MasterKey)
	}
	return keys.ReadMasterKey(c.MasterKeyPath())
}

// MasterKeys are all that the configuration names, the primary one first. A running server calls it
// again when the master key was changed beside it, so files are read each time.
func (c *Config) MasterKeys() ([][]byte, error) {
	primary, err := c.PrimaryMasterKey()
	if err != nil {
		return nil, err
	}
	list := [][]byte{primary}
	if c.OldMasterKey != "" {
		old, err := keys.ParseMasterKey(c.OldMasterKey)
		if err != nil {
			return nil, fmt.Errorf("old_master_key: %w", err)
		}
		list = append(list, old)
	}
	if c.OldMasterKeyFile != "" {
		old, err := keys.ReadMasterKey(c.OldMasterKeyFile)
		if err != nil {
			return nil, fmt.Errorf("old_master_key_file: %w", err)
		}
		list = append(list, old)
	}
	if c.MasterKey == "" { // the one that rekey is about to put in place, or could not any more
		switch fresh, err := keys.ReadMasterKey(c.NewMasterKeyPath()); {
		case err == nil:
			list = append(list, fresh)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return list, nil
}

// WrongMasterKey says in words that no master key of the configuration opens the database.
func (c *Config) WrongMasterKey(err error) error {
	if !errors.Is(err, keys.ErrSealed) {
		return err
	}
	where := c.MasterKeyPath()
	if c.MasterKey != "" {
		where = "master_key"
	}
	var wrong *keys.MasterKeyError
	if !errors.As(err, &wrong) || wrong.Want == "" {
		return fmt.Errorf("the master key (%s) is not the one that this database was made with; put that one back, or name its file in master_key_file", where)
	}
	return fmt.Errorf("the master key (%s, it is %s) is not the one that this database was made with (%s); put that one back, or name its file in master_key_file. "+
		"If the master key is being changed, the new one belongs into master_key or master_key_file and the one before into old_master_key or old_master_key_file",
		where, strings.Join(wrong.Have, ", "), wrong.Want)
}

func (c *Config) HasOldMasterKey() bool { return c.OldMasterKey != "" || c.OldMasterKeyFile != "" }

// CheckMasterKey reports whether the master key can be read, as far as that can be seen without a
// database.
func (c *Config) CheckMasterKey() error {
	if c.OldMasterKeyFile != "" {
		if _, err := keys.ReadMasterKey(c.OldMasterKeyFile); err != nil {
			return fmt.Errorf("old_master_key_file: %w", err)
		}
	}
	if c.MasterKey != "" {
		return nil
	}
	_, err := keys.ReadMasterKey(c.MasterKeyPath())
	if errors.Is(err, fs.ErrNotExist) && c.MasterKeyFile == "" {
		return nil // made at the first start, if the database does not know better
	}
	return err
}
