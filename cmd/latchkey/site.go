package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/audit"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
	"latchkey/provider/token"
	"latchkey/templates"
)

// site is what a configuration names, opened: everything that a server or a command works with.
type site struct {
	Config
	store  *storage.Store
	sealer *keys.Sealer
	ring   *keys.Ring
	hasher *people.Hasher
	logger *slog.Logger
	now    func() time.Time

	throttle *people.Throttle
	audit    *audit.Log
	admin    *admin.Admin
	actor    admin.Actor // who runs the command
	release  func()      // of the lock that one server on a file has, nil for commands
}

// databaseFile is the embedded database in the data folder.
func (c *Config) databaseFile() string { return filepath.Join(c.Data, "latchkey.db") }

// masterKeyFile is where the master key is looked for, unless it is in the configuration itself.
func (c *Config) masterKeyFile() string {
	if c.MasterKeyFile != "" {
		return c.MasterKeyFile
	}
	return filepath.Join(c.Data, "master.key")
}

// mongoURI is the connection string, also from a file; "" when the embedded database is used.
func (c *Config) mongoURI() (string, error) {
	if c.MongoDBFile == "" {
		return c.MongoDB, nil
	}
	return readSecretFile("mongodb_file", c.MongoDBFile)
}

// openStore opens the database that the configuration names.
func openStore(ctx context.Context, c *Config) (*storage.Store, error) {
	uri, err := c.mongoURI()
	if err != nil {
		return nil, err
	}
	if uri != "" {
		return storage.OpenMongoDB(ctx, uri)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	db, err := storage.OpenSQLite(ctx, c.databaseFile())
	if err != nil && strings.Contains(err.Error(), "is not a database") {
		return nil, fmt.Errorf("%w; it is damaged, or something else: put a backup in its place", err)
	}
	return db, err
}

// exists reports, as an error, that there is no database yet, so that a read-only command with a mistyped path does not create one.
func (c *Config) exists() error {
	if c.MongoDB != "" || c.MongoDBFile != "" {
		return nil
	}
	if _, err := os.Stat(c.databaseFile()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database in %s; name its folder with --data, or begin with: latchkey init", c.Data)
	}
	return nil
}

// masterKey finds the master key, or makes one for a database that has no use for an earlier one. A database that was sealed under a
// key that is not there is refused: a new key would not open it, and would hide that the old one is missing.
func masterKey(ctx context.Context, c *Config, store keys.Store) ([]byte, error) {
	if c.MasterKey != "" {
		return keys.ParseMasterKey(c.MasterKey)
	}
	path := c.masterKeyFile()
	key, err := keys.ReadMasterKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	set, err := store.KeySet(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for keys: %w", err)
	}
	switch {
	case set.Version > 0:
		return nil, fmt.Errorf("the master key is missing: %s is not there, and the database was made with one. Put the file back, or name it in master_key_file", path)
	case c.MasterKeyFile != "":
		return nil, fmt.Errorf("the master key is missing: %s is not there. Make it with: (umask 077; openssl rand -base64 32 > %s)", path, path)
	}
	return keys.CreateMasterKey(path)
}

// openServer is open for a server: of those that use one database file, only one may answer.
func openServer(ctx context.Context, c Config, logger *slog.Logger) (*site, error) {
	s, err := open(ctx, c, logger, true)
	if err != nil {
		return nil, err
	}
	if db := s.store.Embedded(); db != nil {
		if s.release, err = db.LockServe(); err != nil {
			_ = s.store.Close()
			return nil, err
		}
	}
	s.actor = admin.Actor{Kind: storage.ActorSystem, Name: "latchkey"}
	// Discovery says that requests can be encrypted (OIDC Discovery §3), so there are keys to encrypt them to.
	for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES"} {
		if err := s.ring.EnsureAlgorithm(ctx, keys.UseEncryption, alg); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// open opens what the configuration names. create permits it to make what is missing.
func open(ctx context.Context, c Config, logger *slog.Logger, create bool) (_ *site, err error) {
	if !create {
		if err := c.exists(); err != nil {
			return nil, err
		}
	}
	s := &site{Config: c, logger: logger, now: time.Now}
	if s.store, err = openStore(ctx, &c); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.store.Close()
		}
	}()
	if _, err = masterKey(ctx, &c, s.store); err != nil {
		return nil, err
	}
	if s.sealer, err = keys.OpenSealer(ctx, keys.SealerConfig{Store: s.store, Masters: c.masterKeys, Now: s.now}); err != nil {
		return nil, c.wrongMasterKey(err)
	}
	s.ring, err = keys.Open(ctx, keys.Config{Store: s.store, Sealer: s.sealer, Now: s.now, Logger: logger,
		Algorithms:  []string{c.AccessTokenSignedResponseAlg, provider.DefaultAccessTokenAlg},
		RotateEvery: time.Duration(c.Lifetimes.SigningKey), PublishAfter: c.publishKeys(), KeepAfter: c.keepKeys()})
	if err != nil {
		return nil, c.wrongMasterKey(err)
	}
	s.hasher = people.NewHasher(people.Params{Memory: uint32(c.Passwords.MemoryKiB), Time: uint32(c.Passwords.Passes), Threads: 1}, c.Passwords.Concurrency)
	s.throttle = &people.Throttle{Counters: s.store, Key: s.sealer.Derive("throttle", 32),
		PerAccount: c.Passwords.AttemptsPerAccount, PerAddress: c.Passwords.AttemptsPerAddress}
	s.audit = &audit.Log{Store: s.store, Now: s.now, Keep: time.Duration(c.Audit.Keep), Logger: logger}
	s.admin = admin.New(admin.Config{
		Store: s.store, Audit: s.audit, Now: s.now, Keys: s.ring, Sealer: s.sealer, Hasher: s.hasher, Throttle: s.throttle,
		Sessions: sessions{s}, Outbound: fetcher{s}, Name: c.Name, Logger: logger,
		AllowNone: c.InsecureAllowNone, GrantTypes: token.GrantTypes(),
	})
	return s, nil
}

// sessions ends sessions by the provider's own logic: applications are told, now or when a server runs again. The provider is made when
// it is needed: most commands do without.
type sessions struct{ *site }

func (s sessions) EndSessions(ctx context.Context, userID string) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	return p.EndSessions(ctx, userID)
}

// fetcher makes the one call to another's address that administration needs.
type fetcher struct{ *site }

func (s fetcher) Get(ctx context.Context, address string, maxBytes int64, accept ...string) ([]byte, error) {
	client, err := s.outbound()
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, address, maxBytes, accept...)
}

// outbound makes the guarded client for calls to addresses that applications have named.
func (s *site) outbound() (*outbound.Client, error) {
	c := &s.Config
	calls := outbound.Config{AllowLoopback: c.Outbound.AllowLoopback, AllowPrivate: parsePrefixes(c.Outbound.AllowPrivate), Logger: s.logger, Now: s.now}
	if c.Outbound.CAFile != "" {
		var err error
		if calls.RootCAs, err = readCAs(c.Outbound.CAFile); err != nil {
			return nil, fmt.Errorf("outbound.ca_file: %w", err)
		}
	}
	return outbound.New(calls), nil
}

// publishKeys is how long a replaced key stays published: for the life of every token that others verify by it, and of their caches.
func (c *Config) publishKeys() time.Duration {
	return time.Duration(max(c.Lifetimes.AccessToken, c.Lifetimes.IDToken)) + keys.MaxAge
}

// keepKeys is how long a replaced key is kept: as long as an ID token is worth something as a hint, and longer than any token lasts.
func (c *Config) keepKeys() time.Duration {
	return time.Duration(max(30*day, c.Lifetimes.RememberedAbsolute, c.Lifetimes.SessionAbsolute))
}

func (s *site) Close() error {
	s.audit.Wait()
	if s.release != nil {
		s.release()
	}
	return s.store.Close()
}

// placeholderIssuer stands for the issuer in commands that were not told it. Nothing that they store contains it.
const placeholderIssuer = "https://issuer.invalid"

// provider makes the provider. Reads from top to bottom what it consists of.
func (s *site) provider() (*provider.Provider, error) {
	c := s.Config
	issuer := c.Issuer
	if issuer == "" {
		issuer = placeholderIssuer
	}
	pages, err := templates.New(templates.Options{ProviderName: c.Name, Path: issuerPath(issuer), Now: s.now})
	if err != nil {
		return nil, err
	}
	calls, err := s.outbound()
	if err != nil {
		return nil, err
	}
	return provider.New(provider.Config{
		Issuer:    issuer,
		Name:      c.Name,
		Store:     s.store,
		Keys:      s.ring,
		Sealer:    s.sealer,
		Templates: pages,
		People:    &people.Authenticator{Store: s.store, Hasher: s.hasher, Throttle: s.throttle, Now: s.now, Logger: s.logger},
		Outbound:  calls,
		Audit:     s.audit,
		Logger:    s.logger,
		Now:       s.now,

		TrustedProxies: parsePrefixes(c.TrustedProxies),

		Lifetimes: provider.Lifetimes{
			CodeTTL:         time.Duration(c.Lifetimes.Code),
			AccessTokenTTL:  time.Duration(c.Lifetimes.AccessToken),
			IDTokenTTL:      time.Duration(c.Lifetimes.IDToken),
			RefreshIdle:     time.Duration(c.Lifetimes.RefreshIdle),
			RefreshAbsolute: time.Duration(c.Lifetimes.RefreshAbsolute),
			RefreshGrace:    time.Duration(c.Lifetimes.RefreshGrace),
			SessionIdle:     time.Duration(c.Lifetimes.SessionIdle),
			SessionAbsolute: time.Duration(c.Lifetimes.SessionAbsolute),
			RememberedIdle:  time.Duration(c.Lifetimes.RememberedIdle),
			RememberedMax:   time.Duration(c.Lifetimes.RememberedAbsolute),
			InteractionTTL:  time.Duration(c.Lifetimes.Interaction),
		},

		AccessTokenAlg: c.AccessTokenSignedResponseAlg,

		Registration:         registration.Mode(c.Registration),
		RegistrationsPerHour: c.RegistrationsPerHour,

		InsecureAllowNone:         c.InsecureAllowNone,
		InsecurePublicWithoutPKCE: c.InsecurePublicClientsWithoutPKCE,
	})
}

// onSite runs a command on the store that its flags and the configuration name. Commands that only read pass create false.
func (sh *shell) onSite(cmd *cobra.Command, create bool, run func(context.Context, *site) error) error {
	c, err := sh.config(cmd)
	if err != nil {
		return err
	}
	if err := c.checkStore().orNil(); err != nil {
		return err
	}
	if c.Issuer != "" {
		if err := checkIssuer(c.Issuer); err != nil {
			return c.faultOf("issuer", "%v", err)
		}
	}
	s, err := open(cmd.Context(), c, slog.New(slog.DiscardHandler), create)
	if err != nil {
		return err
	}
	s.actor = sh.actor()
	err = inWords(run(cmd.Context(), s))
	if closing := s.Close(); err == nil {
		err = closing
	}
	return err
}
