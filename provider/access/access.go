package access

import (
	"slices"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// Reason says why somebody may not use an application.
type Reason string

const (
	ClientUnknown  Reason = "client_unknown"  // there is no such application (any more)
	ClientDisabled Reason = "client_disabled" // an administrator switched the application off
	UserUnknown    Reason = "user_unknown"    // there is no such person (any more)
	UserDisabled   Reason = "user_disabled"   // an administrator switched the account off
	NotInGroup     Reason = "not_in_group"    // the application is for other groups
)

// Decision is whether a person may use an application. The zero value refuses.
type Decision struct {
	Allowed bool
	Reason  Reason   // why not; "" if allowed
	Groups  []string // with NotInGroup: the groups whose members may use it, for administrators, not for the person
	Contact string   // with NotInGroup: whom the person can ask, "" if nobody was named
}

// Decide reports whether the person may use the application.
func Decide(c clients.Client, u storage.User) Decision {
	if d := DecideClient(c); !d.Allowed {
		return d
	}
	switch {
	case u.ID == "":
		return Decision{Reason: UserUnknown}
	case u.Disabled:
		return Decision{Reason: UserDisabled}
	case len(c.AllowedGroups) > 0 && !slices.ContainsFunc(c.AllowedGroups,
		func(g string) bool { return slices.Contains(u.Groups, g) }):
		return Decision{Reason: NotInGroup, Groups: slices.Clone(c.AllowedGroups), Contact: c.RefusalContact}
	}
	return Decision{Allowed: true}
}

// DecideClient reports whether the application may act at all. It is the whole decision where no
// person is involved (client_credentials, RFC 6749 §4.4).
func DecideClient(c clients.Client) Decision {
	switch {
	case c.ID == "":
		return Decision{Reason: ClientUnknown}
	case c.Disabled:
		return Decision{Reason: ClientDisabled}
	}
	return Decision{Allowed: true}
}

// GrantableScope lists, in their order and each once, those of the requested scopes that the
// application may be given: what its registration names (RFC 7591 §2), or, when that names nothing,
// every scope that the provider itself understands. offline_access is left out for an application
// that may not use refresh tokens (OIDC Core §11). What is left out is not granted; that the answer
// names the scope tells the application (RFC 6749 §3.3).
//
// It is asked again, about the scope of the grant, whenever a grant is used: a scope that was taken
// from the application meanwhile is not issued any more.
func GrantableScope(c clients.Client, requested []string) []string {
	allowed := oauth.Scopes
	if c.Scope != "" {
		allowed = strings.Fields(c.Scope)
	}
	var out []string
	for _, s := range requested {
		if !slices.Contains(allowed, s) || slices.Contains(out, s) {
			continue
		}
		if s == oauth.ScopeOfflineAccess && !c.MayGrant(oauth.GrantRefreshToken) {
			continue
		}
		out = append(out, s)
	}
	return out
}

// GrantableClaims lists those of the claims asked for by name (OIDC Core §5.5) that the application
// may be given: the claims that no scope stands for, and those of the scopes that it may have.
// Otherwise an application that is kept to some scopes would get the rest by name. Like
// GrantableScope it is asked again whenever a grant is used.
func GrantableClaims(c clients.Client, requested []string) []string {
	if c.Scope == "" {
		return requested
	}
	var out []string
	allowed := strings.Fields(c.Scope)
	for _, name := range requested {
		belongs, may := false, false
		for _, s := range oauth.Scopes {
			if slices.Contains(oauth.ScopeClaims(s), name) {
				belongs, may = true, may || slices.Contains(allowed, s)
			}
		}
		if may || !belongs {
			out = append(out, name)
		}
	}
	return out
}

// Roles lists, sorted and each once, the values of the roles claim (RFC 9068 §2.2.3.1) that the
// person has by membership in groups. Groups that the person names but that do not exist give
// nothing.
func Roles(u storage.User, groups []storage.Group) []string {
	var out []string
	for _, g := range groups {
		if slices.Contains(u.Groups, g.Name) {
			out = append(out, g.Roles...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
