package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// signingKey makes a key for ES256 and writes its public half, a JWK Set, into a file.
func signingKey(t testing.TB) (private map[string]string, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	public := map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "interop-1",
		"x": encode(point[1:33]), "y": encode(point[33:])}
	set, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	private = map[string]string{"d": encode(d)}
	for name, value := range public {
		private[name] = value
	}
	return private, file
}

func TestOpenIDClientForNode(t *testing.T) {
	t.Parallel()
	program, folder := node(t)
	l := serve(t, "127.0.0.1", "", "LATCHKEY_REGISTRATION=token")
	const back = "http://localhost:8999/callback" // nobody listens there: the script is handed the address
	about := func(a application, more ...string) map[string]any {
		m := map[string]any{"client_id": a.ID, "client_secret": a.Secret, "redirect_uri": back}
		for i := 0; i+1 < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	web := l.register("Web", "--redirect-uri", back, "--token-endpoint-auth-method", "client_secret_post",
		"--post-logout-redirect-uri", "http://localhost:8999/bye")
	key, jwks := signingKey(t)
	privateKey := about(l.register("Keys", "--redirect-uri", back, "--token-endpoint-auth-method", "private_key_jwt",
		"--jwks-file", jwks))
	privateKey["key"] = key
	var algorithms []any
	for _, alg := range []string{"ES256", "PS256", "EdDSA"} {
		algorithms = append(algorithms, about(l.register(alg, "--redirect-uri", back, "--id-token-alg", alg,
			"--token-endpoint-auth-method", "client_secret_post"), "alg", alg))
	}
	const api = "https://api.example.com"
	l.register("API", "--type", "api", "--audience", api)
	var initial struct {
		Token string `json:"initial_access_token"`
	}
	l.read(&initial, "", "token", "create", "--json")

	awkward := application{Secret: "it's 100% safe: a+b & c=d/?"}
	l.read(&awkward, awkward.Secret+"\n", "client", "create", "--json", "--name", "Awkward", "--type", "service",
		"--secret-stdin")

	l.script(t, map[string]any{
		"issuer": l.issuer, "sub": l.sub,
		"web":   about(web, "post_logout_redirect_uri", "http://localhost:8999/bye"),
		"basic": about(l.register("Basic", "--redirect-uri", back)),
		"secret_jwt": about(l.register("Secret JWT", "--redirect-uri", back, "--token-endpoint-auth-method",
			"client_secret_jwt")),
		"private_key_jwt": privateKey,
		"awkward":         about(application{ID: awkward.ID, Secret: "it's 100% safe: a+b & c=d/?"}),
		"public":          about(l.register("Public", "--type", "spa", "--redirect-uri", back)),
		"algorithms":      algorithms,
		"service":         about(l.register("Service", "--type", "service", "--audience", api), "audience", api),
		"hybrid": about(l.register("Hybrid", "--redirect-uri", "https://hybrid.example.com/callback",
			"--token-endpoint-auth-method", "client_secret_post",
			"--response-type", "code id_token"), "redirect_uri", "https://hybrid.example.com/callback"),
		"initial_access_token": initial.Token,
		"dynamic_redirect_uri": "https://dynamic.example.com/callback",
	}, []string{
		"discovery",
		"code with PKCE, client_secret_post by default",
		"the ID token signature, checked again by the published keys",
		"an access token verified by jose and the published keys",
		"userinfo",
		"introspection",
		"refresh with rotation, and the same successor for a lost answer",
		"revocation ends the grant, and says 200 to what it does not know",
		"client_secret_basic",
		"a secret with every kind of character, form-encoded in client_secret_basic",
		"client_secret_jwt",
		"private_key_jwt",
		"a public client",
		"a client for ES256, PS256 or EdDSA ID tokens",
		"client_credentials for an API",
		"a signed request object",
		"form_post and fragment responses of the hybrid flow",
		"an error of the authorization endpoint",
		"dynamic registration with an initial access token",
		"RP-initiated logout",
	}, program, runnable(t, folder, "node/openid_client.mjs"))
}
