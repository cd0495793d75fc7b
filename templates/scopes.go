package templates

import (
	"cmp"
	"slices"
)

// ScopeItem is one thing that an application wants, as a sentence for a person. Set.Scopes makes
// them.
type ScopeItem struct {
	Name   string // the scope, claim or resource itself
	Title  string
	Detail string // may be empty
	New    bool   // was not allowed before
}

// implied are claims that say something only together with another.
var implied = map[string]string{"email_verified": "email", "phone_number_verified": "phone_number"}

// Scopes puts what an application asks for into sentences that a person understands, in a language
// that Match returned: scopes, single claims (OIDC Core §5.5) that no scope among them asks for
// anyway, and resources (RFC 8707 §2). alreadyAllowed is asked about each by its kind (scope, claim
// or resource) and name: the claim profile is another thing than the scope. What it does not know
// is new.
func (s *Set) Scopes(
	lang string, scopes, claims, resources []string, alreadyAllowed func(kind, name string) bool,
) []ScopeItem {
	v := s.view(lang, nil)
	var out []ScopeItem
	said := map[string]bool{}
	add := func(name, kind, title, detail string, about Args) {
		if name == "" || said[kind+name] {
			return
		}
		said[kind+name] = true
		item := ScopeItem{Name: name, Title: v.t(title, about).String()}
		item.New = alreadyAllowed == nil || !alreadyAllowed(kind, name)
		if detail != "" {
			item.Detail = v.t(detail, about).String()
		}
		out = append(out, item)
	}
	for _, scope := range scopes {
		if key := "scope." + scope; english().messages[key] != nil {
			add(scope, "scope", key, key+".detail", nil)
		} else {
			add(scope, "scope", "scope-other", "scope-other.detail", Args{"scope": scope})
		}
	}
	for _, claim := range claims {
		if with := implied[claim]; with != "" && slices.Contains(claims, with) {
			continue
		}
		about := Args{"claim": claim}
		if english().messages["claim."+claim] != nil {
			about["claim"] = v.t("claim."+claim, nil)
		}
		add(claim, "claim", "claim-one", "", about)
	}
	for _, resource := range resources {
		add(resource, "resource", "resource", "resource.detail", Args{"resource": cmp.Or(host(resource), resource)})
	}
	return out
}
