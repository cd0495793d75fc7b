package interop

import "testing"

func TestAuthlibForPython(t *testing.T) {
	t.Parallel()
	program := python(t)
	l := serve(t, "127.0.0.1", "/sso")
	listen := freeAddress(t)
	about := func(a application) map[string]any {
		return map[string]any{"client_id": a.ID, "client_secret": a.Secret}
	}
	web := func(name string, flags ...string) map[string]any {
		return about(l.register(name, append([]string{"--skip-consent", "--redirect-uri", "http://" + listen + "/" +
			name + "/callback"}, flags...)...))
	}
	const api = "https://api.example.com"
	l.register("API", "--type", "api", "--audience", api)
	service := about(l.register("Service", "--type", "service", "--audience", api))
	service["audience"] = api
	key, jwks := signingKey(t)
	privateKey := about(l.register("Keys", "--type", "service", "--token-endpoint-auth-method", "private_key_jwt",
		"--jwks-file", jwks, "--legacy-assertion-audience"))
	privateKey["key"] = key
	l.script(t, map[string]any{
		"issuer": l.issuer, "sub": l.sub, "listen": listen,
		"basic": web("basic"),
		"post":  web("post", "--token-endpoint-auth-method", "client_secret_post"),
		"public": about(l.register("public", "--type", "spa", "--redirect-uri",
			"http://"+listen+"/public/callback")),
		"es256":           web("es256", "--id-token-alg", "ES256"),
		"without_pkce":    web("without_pkce", "--without-pkce"),
		"service":         service,
		"private_key_jwt": privateKey,
		"secret_jwt": about(l.register("Secret JWT", "--type", "service", "--token-endpoint-auth-method",
			"client_secret_jwt", "--legacy-assertion-audience")),
	}, []string{
		"Authlib with Flask: client_secret_basic",
		"Authlib with Flask: client_secret_post",
		"Authlib with Flask: a public client",
		"Authlib with Flask: ES256 ID tokens",
		"Authlib with Flask: without PKCE, where the client may",
		"Authlib with Requests: client_credentials, and an API that verifies the JWT by the published keys",
		"Authlib with Requests: refresh, introspection and revocation",
		"Authlib with Requests: private_key_jwt and client_secret_jwt, addressed to the token endpoint",
		"Requests-OAuthlib: client_credentials",
		"Requests-OAuthlib: a code with PKCE, refresh",
	}, program, "python/web.py")
}
