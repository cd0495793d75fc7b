package storage

import (
	"context"
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// User is a person who can sign in.
type User struct {
	// the sub claim of public clients; random, never given to anybody else (OIDC Core §2)
	ID       string `bson:"_id" json:"sub"`
	Username string `bson:"username" json:"username"`
	// argon2id PHC string, or what another product stored; "" means that no password works
	PasswordHash string   `bson:"password_hash,omitempty" json:"-"`
	Disabled     bool     `bson:"disabled,omitempty" json:"disabled,omitempty"`
	Groups       []string `bson:"groups,omitempty" json:"groups,omitempty"`
	// one of the Role constants: what the user may administer
	Role    string  `bson:"role,omitempty" json:"role,omitempty"`
	Claims  Claims  `bson:"claims" json:"claims"`
	Factors Factors `bson:"factors" json:"-"`
	// a change was made that ends all sessions, and they have not been ended yet
	SignOutDue bool `bson:"sign_out_due,omitempty" json:"-"`
	// FormerAddresses were the user's, and are still told of what happens to the account.
	FormerAddresses []FormerAddress `bson:"former_addresses,omitempty" json:"-"`
	// SharedAddress is the AddressKey of a verified address that another user had, too, when names to
	// sign in by became unique. Nobody signs in by it.
	SharedAddress string    `bson:"shared_address,omitempty" json:"-"`
	CreatedAt     time.Time `bson:"created_at" json:"created_at"`
	UpdatedAt     time.Time `bson:"updated_at" json:"updated_at"`
	Version       int64     `bson:"version" json:"-"`
}

// Roles of those who administer. A user without one administers nothing. What each may do is
// decided in provider/admin.
const (
	RoleOwner            = "owner"             // everything
	RoleAdministrator    = "administrator"     // everything but what concerns owners
	RoleHelpDesk         = "help_desk"         // gets ordinary users back in
	RoleAuditor          = "auditor"           // reads
	RoleApplicationOwner = "application_owner" // the clients whose owner groups they are in
)

// Roles lists them, the mightiest first.
var Roles = []string{RoleOwner, RoleAdministrator, RoleHelpDesk, RoleAuditor, RoleApplicationOwner}

// FormerAddress is an e-mail address that was a user's until lately.
type FormerAddress struct {
	Address string    `bson:"address"`
	Until   time.Time `bson:"until"` // it is told nothing any more from then on
}

// Claims are the standard claims about a person (OIDC Core §5.1). preferred_username, updated_at,
// groups and roles are not kept here: they follow from the User and its groups.
type Claims struct {
	Name          string `bson:"name,omitempty" json:"name,omitempty"`
	GivenName     string `bson:"given_name,omitempty" json:"given_name,omitempty"`
	FamilyName    string `bson:"family_name,omitempty" json:"family_name,omitempty"`
	MiddleName    string `bson:"middle_name,omitempty" json:"middle_name,omitempty"`
	Nickname      string `bson:"nickname,omitempty" json:"nickname,omitempty"`
	Profile       string `bson:"profile,omitempty" json:"profile,omitempty"`
	Picture       string `bson:"picture,omitempty" json:"picture,omitempty"`
	Website       string `bson:"website,omitempty" json:"website,omitempty"`
	Email         string `bson:"email,omitempty" json:"email,omitempty"`
	EmailVerified bool   `bson:"email_verified,omitempty" json:"email_verified,omitempty"`
	Gender        string `bson:"gender,omitempty" json:"gender,omitempty"`
	// YYYY-MM-DD, 0000-MM-DD or YYYY
	Birthdate           string   `bson:"birthdate,omitempty" json:"birthdate,omitempty"`
	Zoneinfo            string   `bson:"zoneinfo,omitempty" json:"zoneinfo,omitempty"`
	Locale              string   `bson:"locale,omitempty" json:"locale,omitempty"`
	PhoneNumber         string   `bson:"phone_number,omitempty" json:"phone_number,omitempty"`
	PhoneNumberVerified bool     `bson:"phone_number_verified,omitempty" json:"phone_number_verified,omitempty"`
	Address             *Address `bson:"address,omitempty" json:"address,omitempty"`
}

// Address is the address claim (OIDC Core §5.1.1).
type Address struct {
	Formatted     string `bson:"formatted,omitempty" json:"formatted,omitempty"`
	StreetAddress string `bson:"street_address,omitempty" json:"street_address,omitempty"`
	Locality      string `bson:"locality,omitempty" json:"locality,omitempty"`
	Region        string `bson:"region,omitempty" json:"region,omitempty"`
	PostalCode    string `bson:"postal_code,omitempty" json:"postal_code,omitempty"`
	Country       string `bson:"country,omitempty" json:"country,omitempty"`
}

// foundUser has Terms, so that the index of these finds a user by the beginning of a word, and the
// names that no other user may have.
type foundUser struct {
	User        `bson:",inline"`
	Terms       []string `bson:"terms,omitempty"`
	SignInNames []string `bson:"sign_in_names,omitempty"`
}

// AddressKey is the form in which two spellings of one e-mail address are equal: case and
// compatibility variants do not count. It is what a username of these letters is stored as. "" if
// the text has a character that no name has.
func AddressKey(address string) string {
	key := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.TrimSpace(address))))
	key, err := precis.UsernameCaseMapped.String(key)
	if err != nil {
		return ""
	}
	return key
}

// SignInNames are what the user can type to say who they are: the username, and the AddressKey of
// an e-mail address that is verified. No two users have one in common.
func (u User) SignInNames() []string {
	names := []string{u.Username}
	if !u.Claims.EmailVerified {
		return names
	}
	if key := AddressKey(u.Claims.Email); key != "" && key != u.Username && key != u.SharedAddress {
		names = append(names, key)
	}
	return names
}

var users = register(table[User]{
	Table: Table{Name: "users", Unique: []string{"username"}, Indexes: []Index{
		{Fields: []string{"claims.email"}},
		{Fields: []string{"role", "username"}, Sparse: true},
		{Fields: []string{"disabled", "username"}, Sparse: true},
		{Fields: []string{"groups"}, Each: true},
		{Fields: []string{"terms"}, Each: true},
		{Fields: []string{"sign_in_names"}, Each: true, Unique: true, Sparse: true},
	}},
	id:      func(u *User) string { return u.ID },
	version: func(u *User) *int64 { return &u.Version },
	cached:  true,
	stored: func(u *User) any {
		return &foundUser{*u, searchTerms(u.Username, u.Claims.Email, u.Claims.Name, u.Claims.GivenName,
			u.Claims.FamilyName, u.Claims.Nickname), u.SignInNames()}
	},
})

// CreateUser stores a new user with Version 1. ErrConflict if the ID, the Username or another of
// the SignInNames is taken.
func (s *Store) CreateUser(ctx context.Context, u User) error {
	return create(ctx, s, "create user", users, u)
}

// User returns a user by ID, or ErrNotFound.
func (r Records) User(ctx context.Context, id string) (User, error) {
	return load(ctx, r, "load user", users, id)
}

// UserByUsername returns the user with exactly this (canonical) username, or ErrNotFound.
func (r Records) UserByUsername(ctx context.Context, username string) (User, error) {
	found, err := list(ctx, r, "load user", users, Query{Where: []Match{is("username", username)}, Limit: 1})
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return User{}, err
	}
	return found[0], nil
}

// UserBySignInName returns the user who has this among their SignInNames, or ErrNotFound.
func (r Records) UserBySignInName(ctx context.Context, name string) (User, error) {
	// A program of an earlier version that shares the database stores users without these names.
	found, err := list(ctx, r, "load user", users,
		Query{Where: []Match{{Field: "sign_in_names", Or: "username", Value: name}}, Limit: 1})
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return User{}, err
	}
	return found[0], nil
}

// UsersByEmail returns the users with exactly this e-mail address, verified or not, at most limit.
func (r Records) UsersByEmail(ctx context.Context, email string, limit int) ([]User, error) {
	if email == "" || limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "load users", users, Query{Where: []Match{is("claims.email", email)}, Limit: limit})
}

// UpdateUser replaces the user whose Version is u.Version and increases it by one. ErrConflict if
// the stored version differs or one of the new SignInNames is taken, ErrNotFound if there is no such
// user.
func (s *Store) UpdateUser(ctx context.Context, u User) error {
	return replace(ctx, s, "update user", users, u)
}

// DeleteUser removes the user with consents and passkeys; sessions and grants are ended by the caller before.
// ErrNotFound if there is none.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	const what = "delete user"
	if _, err := s.User(ctx, id); err != nil {
		return err
	}
	// The user goes last: if this ends half way, it can be done again.
	if _, err := s.engine.Remove(ctx, &consents.Table, is("user_id", id)); err != nil {
		return wrap(what, err)
	}
	if _, err := s.engine.Remove(ctx, &passkeyOwners.Table, is("user_id", id)); err != nil {
		return wrap(what, err)
	}
	return removeOne(ctx, s, what, users, id)
}

// UserFilter chooses users. Empty fields choose all.
type UserFilter struct {
	// Search is words, each of which begins a word of the user's name, username or e-mail address,
	// in any case and with or without accents.
	Search string
	Group  string // that they are in
	Role   string // that they have
	State  string // UserEnabled or UserDisabled
}

// States of a user in a UserFilter.
const (
	UserEnabled  = "enabled"
	UserDisabled = "disabled"
)

// FindUsers lists the users that match all non-empty fields of f by Username, beginning after the
// given one, at most limit.
func (r Records) FindUsers(ctx context.Context, f UserFilter, after string, limit int) ([]User, error) {
	if limit < 1 {
		return nil, nil
	}
	q := Query{Order: []string{"username"}, Limit: limit}
	if after != "" {
		q.After = after
	}
	for _, word := range searchWords(f.Search) {
		q.Where = append(q.Where, Match{Field: "terms", Value: word, Prefix: true})
	}
	if f.Group != "" {
		q.Where = append(q.Where, is("groups", f.Group))
	}
	if f.Role != "" {
		q.Where = append(q.Where, is("role", f.Role))
	}
	switch f.State {
	case UserEnabled:
		q.Where = append(q.Where, is("disabled", nil))
	case UserDisabled:
		q.Where = append(q.Where, is("disabled", true))
	}
	return list(ctx, r, "find users", users, q)
}

// Users lists users by Username, beginning after the given one, at most limit.
func (r Records) Users(ctx context.Context, after string, limit int) ([]User, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list users", users, Query{Order: []string{"username"}, After: after, Limit: limit})
}

// signInNames counts, before names were unique, how many users have each.
type signInNames map[string]int

func (n signInNames) see(u User) error {
	u.SharedAddress = ""
	for _, name := range u.SignInNames() {
		n[name]++
	}
	return nil
}

// shared is the AddressKey of the user's verified address if another user has it, too, as a username
// or as their own address; "" otherwise.
func (n signInNames) shared(u User) string {
	key := AddressKey(u.Claims.Email)
	if !u.Claims.EmailVerified || key == u.Username || n[key] < 2 {
		return ""
	}
	return key
}
