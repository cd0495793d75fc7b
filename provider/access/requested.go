package access

import (
	"fmt"
	"slices"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
)

// RequestedClaims lists, sorted, what the claims parameter asks for about the person. What every
// token says anyway is not asked about.
func RequestedClaims(r oauth.AuthorizationRequest) []string {
	if r.Claims.Empty() {
		return nil
	}
	known := oauth.Claims()
	var out []string
	for _, m := range []map[string]oauth.ClaimRequest{r.Claims.Userinfo, r.Claims.IDToken} {
		for name := range m {
			if slices.Contains(known, name) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// AllowedResources checks the resource parameter against what the client's tokens may name
// (RFC 8707 §2). The issuer, by which a client asks for a token for userinfo, every client may
// name.
func AllowedResources(client clients.Client, issuer string, requested []string) ([]string, error) {
	for _, r := range requested {
		if r != issuer && !slices.Contains(client.Audience, r) {
			return nil, oauth.Errorf(oauth.InvalidTarget,
				"this client may not ask for tokens for that resource; an administrator can add it to the client's audience").
				Because(fmt.Errorf("resource received %.200q, audience of the client %q", r, client.Audience))
		}
	}
	return requested, nil
}
