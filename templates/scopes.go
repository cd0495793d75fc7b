package templates

import "slices"

// claimsOf are the claims that a scope brings along (OIDC Core §5.4).
var claimsOf = map[string][]string{
	"openid": {"sub", "acr", "amr", "auth_time"},
	"profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
	"groups":  {"groups", "roles"},
}

// implied are claims that say something only together with another, or nothing about the person.
var implied = map[string]string{"email_verified": "email", "phone_number_verified": "phone_number"}

// Scopes puts what an application asks for into sentences that a person understands, in a language that Match returned: scopes,
// single claims (OIDC Core §5.5) that no scope among them brings along anyway, and resources (RFC 8707 §2). alreadyAllowed is asked about each by
// its kind (scope, claim or resource) and name: the claim profile is another thing than the scope. What it does not know is new.
func (s *Set) Scopes(lang string, scopes, claims, resources []string, alreadyAllowed func(kind, name string) bool) []ScopeItem {
	v := s.view(lang, nil)
	var out []ScopeItem
	said := map[string]bool{}
	add := func(name, kind, title, detail string, about any) {
		if name == "" || said[kind+name] {
			return
		}
		said[kind+name] = true
		out = append(out, ScopeItem{
			Name: name, Title: v.t(title, about).String(), Detail: v.t(detail, about).String(), New: alreadyAllowed == nil || !alreadyAllowed(kind, name),
		})
	}
	for _, scope := range scopes {
		if key := "scope." + scope; v.words.Messages[key] != "" {
			add(scope, "scope", key, key+".detail", scope)
		} else {
			add(scope, "scope", "scope-other", "scope-other.detail", scope)
		}
	}
	for _, claim := range claims {
		covered := slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(claimsOf[scope], claim) })
		if with := implied[claim]; covered || slices.Contains(claimsOf["openid"], claim) || with != "" && slices.Contains(claims, with) {
			continue
		}
		add(claim, "claim", "claim-one", "", v.Known("claim.", claim))
	}
	for _, resource := range resources {
		if h := host(resource); h != "" {
			add(resource, "resource", "resource", "resource.detail", h)
		} else {
			add(resource, "resource", "resource", "resource.detail", resource)
		}
	}
	return out
}
