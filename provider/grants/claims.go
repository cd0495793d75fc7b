package grants

import (
	"context"
	"fmt"
	"slices"

	"latchkey/provider/access"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// ClaimsOfScope lists the claims that the scopes ask for (OIDC Core §5.4).
func ClaimsOfScope(scope []string) []string {
	var names []string
	for _, s := range scope {
		names = append(names, oauth.ScopeClaims(s)...)
	}
	return names
}

// ClaimsOfRequest lists the claims that one member of the claims parameter asks for
// (OIDC Core §5.5).
func ClaimsOfRequest(member map[string]oauth.ClaimRequest) []string {
	names := make([]string, 0, len(member))
	for name := range member {
		names = append(names, name)
	}
	return names
}

// PersonClaims says about the person what was asked for and is known; names that are no claims
// about a person are passed over. Groups and roles are read as they are now.
func (gs *Grants) PersonClaims(ctx context.Context, user storage.User, names []string) (map[string]any, error) {
	if len(names) == 0 {
		return map[string]any{}, nil
	}
	var roles []string
	if slices.Contains(names, "roles") && len(user.Groups) > 0 {
		groups, err := gs.Store.Groups(ctx)
		if err != nil {
			return nil, fmt.Errorf("load groups: %w", err)
		}
		roles = access.Roles(user, groups)
	}
	all := standardClaims(user)
	all["groups"], all["roles"] = orEmpty(user.Groups), orEmpty(roles)
	said := make(map[string]any, len(names)+10)
	for _, name := range names {
		if v, known := all[name]; known {
			said[name] = v
		}
	}
	return said, nil
}

// standardClaims are the claims of OIDC Core §5.1 but sub, which depends on who asks. What is not
// known is left out, not empty (OIDC Core §5.3.2); whether an address was verified is always told
// along with it.
func standardClaims(user storage.User) map[string]any {
	c := user.Claims
	all := make(map[string]any, 24)
	for name, v := range map[string]string{
		"name": c.Name, "given_name": c.GivenName, "family_name": c.FamilyName, "middle_name": c.MiddleName,
		"nickname":           c.Nickname,
		"preferred_username": user.Username, "profile": c.Profile, "picture": c.Picture, "website": c.Website,
		"email": c.Email, "gender": c.Gender, "birthdate": c.Birthdate, "zoneinfo": c.Zoneinfo, "locale": c.Locale,
		"phone_number": c.PhoneNumber,
	} {
		if v != "" {
			all[name] = v
		}
	}
	if c.Email != "" {
		all["email_verified"] = c.EmailVerified
	}
	if c.PhoneNumber != "" {
		all["phone_number_verified"] = c.PhoneNumberVerified
	}
	if !user.UpdatedAt.IsZero() {
		all["updated_at"] = user.UpdatedAt.Unix()
	}
	if a := c.Address; a != nil {
		address := map[string]string{}
		for name, v := range map[string]string{
			"formatted": a.Formatted, "street_address": a.StreetAddress, "locality": a.Locality, "region": a.Region,
			"postal_code": a.PostalCode, "country": a.Country,
		} {
			if v != "" {
				address[name] = v
			}
		}
		if len(address) > 0 {
			all["address"] = address
		}
	}
	return all
}

// orEmpty makes a list that is written as [] rather than null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
