package grants

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"

	"latchkey/provider/clients"
)

// Subject is the sub claim by which the client knows the person: the same for every client, or
// pairwise (OIDC Core §8). A pairwise one follows from the sector, the person and a key of ours
// (OIDC Core §8.1), so it is the same tomorrow, and says nothing to another sector.
func (gs *Grants) Subject(client clients.Client, userID string) string {
	if client.SubjectType != "pairwise" {
		return userID
	}
	mac := hmac.New(sha256.New, gs.subKey)
	mac.Write([]byte(sector(client) + "\x00" + userID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sector is the host that stands for everything which may know a person by one pairwise subject
// (OIDC Core §8.1). A client with redirect URIs on several hosts had to register a
// sector_identifier_uri, so the first one speaks for all.
func sector(client clients.Client) string {
	if client.SectorHost != "" {
		return client.SectorHost
	}
	for _, uri := range client.RedirectURIs {
		if u, err := url.Parse(uri); err == nil && u.Hostname() != "" {
			return strings.ToLower(u.Hostname())
		}
	}
	return "client:" + client.ID
}
