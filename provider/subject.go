package provider

import "latchkey/clients"

// subject is the sub claim by which the client knows the person: the same for every client, or pairwise (OIDC Core §8).
func (p *Provider) subject(client clients.Client, userID string) string { return userID }
