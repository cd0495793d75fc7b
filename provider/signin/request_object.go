package signin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
)

// maxRequestObject bounds a request object, in bytes, whichever way it comes (RFC 9101 §10.4.1).
const maxRequestObject = 64 << 10

// requestObject takes in the request object of an authorization request, by value or by reference,
// and returns the parameters that count (OIDC Core §6, RFC 9101 §5, §6). Without one it returns
// params as they are.
func (p *Pages) requestObject(ctx context.Context, client clients.Client, params oauth.Parameters) (oauth.Parameters,
	error) {
	object, uri := params.Get("request"), params.Get("request_uri")
	switch {
	case object != "" && uri != "":
		return params, errRequestTwice()
	case object == "" && uri == "":
		if client.RequireSignedRequestObject {
			return params, oauth.Errorf(oauth.InvalidRequest,
				"this client has to send its request as a signed request object (RFC 9101)")
		}
		return params, nil
	case uri != "":
		fetched, err := p.fetchRequestObject(ctx, client, uri)
		if err != nil {
			return params, err
		}
		object = fetched
	}
	if len(object) > maxRequestObject {
		return params, oauth.Errorf(oauth.InvalidRequestObject, "the request object is larger than %d bytes",
			maxRequestObject)
	}
	claims, err := p.openRequestObject(ctx, client, object)
	if err != nil {
		return params, err
	}
	return p.mergeRequestObject(client, params, claims)
}

func errRequestTwice() error {
	return oauth.Errorf(oauth.InvalidRequest, "send either request or request_uri, not both (RFC 9101 section 5)")
}

// fetchRequestObject gets a request object from an address that the client has registered, and from
// no other, so that nobody can make us call where they like (RFC 9101 §10.4).
func (p *Pages) fetchRequestObject(ctx context.Context, client clients.Client, uri string) (string, error) {
	if len(client.RequestURIs) == 0 {
		return "", oauth.Errorf(oauth.RequestURINotSupported, "this client has no request_uris registered")
	}
	if len(uri) > 512 || !slices.Contains(client.RequestURIs, uri) {
		return "", oauth.Errorf(oauth.InvalidRequestURI,
			"request_uri is not among the request_uris that are registered for this client")
	}
	address, _, _ := strings.Cut(uri, "#") // the fragment names the version (OIDC Core §6.2) and is not sent
	body, err := p.Outbound.Get(ctx, address, maxRequestObject, "application/oauth-authz-req+jwt", "application/jwt")
	if err != nil {
		return "", oauth.Errorf(oauth.InvalidRequestURI,
			"the request object could not be fetched from request_uri").Because(err)
	}
	return strings.TrimSpace(string(body)), nil
}

// openRequestObject decrypts and verifies a request object and returns its claims. The algorithm
// must be the one that the client is registered for; unsigned ones are taken only where the whole
// provider was set to allow alg none.
func (p *Pages) openRequestObject(ctx context.Context, client clients.Client, object string) (clientauth.JWTClaims,
	error) {
	bad := func(why string, err error) (clientauth.JWTClaims, error) {
		return nil, oauth.Errorf(oauth.InvalidRequestObject, "%s", why).Because(err)
	}
	if strings.Count(object, ".") == 4 {
		inner, err := p.Keys.Decrypt(ctx, object)
		if err != nil {
			return bad("the request object could not be decrypted", err)
		}
		object = string(inner)
	} else if client.RequestObjectEncryptionAlg != "" {
		return bad("this client is registered for encrypted request objects", nil)
	}
	alg := client.RequestObjectSigningAlg
	var payload []byte
	var err error
	unsigned := strings.HasSuffix(object, ".")
	switch {
	case unsigned && !(p.Grants.InsecureAllowNone && !client.RequireSignedRequestObject &&
		(alg == "" || alg == "none")):
		return bad("the request object is not signed; sign it with the key that is registered for this client", nil)
	case unsigned:
		payload, err = keys.InsecureParseUnsigned(object)
	case alg == "none":
		return bad("this client is registered for unsigned request objects", nil)
	default:
		algs := keys.AcceptedSigningAlgorithms
		if alg != "" {
			algs = []string{alg}
		}
		payload, err = p.Clients.VerifyJWT(ctx, client, object, algs, "", "JWT", "oauth-authz-req+jwt")
	}
	if err != nil {
		return bad("the signature of the request object does not verify with the keys and algorithm that are registered for this client", err)
	}
	claims, err := clientauth.ReadClaims(payload)
	if err != nil {
		return bad("the request object is not a JSON object", err)
	}
	if err := p.checkRequestObjectClaims(client, claims, !unsigned); err != nil {
		return bad(err.Error(), nil)
	}
	return claims, nil
}

// checkRequestObjectClaims checks who made the object, for whom, and when
// (RFC 9101 §4, §10.2, §10.8).
func (p *Pages) checkRequestObjectClaims(client clients.Client, claims clientauth.JWTClaims, signed bool) error {
	strict := client.RequireSignedRequestObject
	switch {
	case claims.Has("iss") && claims.Text("iss") != client.ID || !claims.Has("iss") && signed:
		return errors.New("iss of the request object must be the client_id")
	case claims.Has("client_id") && claims.Text("client_id") != client.ID || !claims.Has("client_id") && strict:
		return errors.New("client_id in the request object must be the client_id of the request")
	case claims.Has("sub") && (claims.Text("sub") == "" || claims.Text("sub") == client.ID):
		return errors.New("sub of the request object must not be the client_id: that is what a client assertion looks like")
	case claims.Has("request") || claims.Has("request_uri"):
		return errors.New("request and request_uri must not stand inside a request object")
	}
	if claims.Has("aud") || signed {
		if aud, err := oauth.StringOrList(claims["aud"]); err != nil || !slices.Contains(aud, p.Web.Issuer) {
			return errors.New("aud of the request object must contain the issuer " + p.Web.Issuer)
		}
	}

	now := p.Web.Now()
	exp, hasExp, err := claims.At("exp")
	switch {
	case err != nil:
		return err
	case hasExp && !now.Before(exp):
		return errors.New("the request object has expired")
	case strict && (!hasExp || exp.Sub(now) > time.Hour):
		return errors.New("exp of the request object must be there, and at most one hour ahead")
	}
	for _, name := range []string{"nbf", "iat"} {
		t, has, err := claims.At(name)
		switch {
		case err != nil:
			return err
		case has && t.Sub(now) > clientauth.ClockSkew:
			return fmt.Errorf("%s of the request object is in the future", name)
		case name == "nbf" && strict && (!has || now.Sub(t) > time.Hour):
			return errors.New("nbf of the request object must be there, and at most one hour old")
		}
	}
	return nil
}

// ofTheJWT are claims that speak of the object itself; they are not parameters of the request.
var ofTheJWT = []string{"iss", "aud", "exp", "nbf", "iat", "jti", "sub"}

// mergeRequestObject makes parameters of the object's claims. What stands in the object counts
// before what stands outside (OIDC Core §6.1); for a client that has to sign its requests nothing
// outside counts at all (RFC 9101 §6.3).
func (p *Pages) mergeRequestObject(client clients.Client, params oauth.Parameters,
	claims clientauth.JWTClaims) (oauth.Parameters, error) {
	form := url.Values{}
	if !client.RequireSignedRequestObject {
		form = params.Values()
	}
	form.Del("request")
	form.Del("request_uri")
	for name, raw := range claims {
		if slices.Contains(ofTheJWT, name) {
			continue
		}
		values, err := parameterValues(name, raw)
		if err != nil {
			return params, oauth.Errorf(oauth.InvalidRequestObject, "%s", err.Error())
		}
		if name == "response_type" && params.Has(name) && !client.RequireSignedRequestObject &&
			!sameResponseType(params.Get(name), values) {
			return params, oauth.Errorf(oauth.InvalidRequest,
				"response_type inside the request object differs from the one outside (OpenID Connect Core section 6.1)")
		}
		form[name] = values
	}
	form.Set("client_id", client.ID)
	return oauth.NewParameters(form)
}

func sameResponseType(outside string, inside []string) bool {
	a, errA := oauth.ParseResponseType(outside)
	b, errB := oauth.ParseResponseType(strings.Join(inside, " "))
	return errA == nil && errB == nil && a == b
}

// parameterValues writes a claim the way the parameter would have been sent: a string as it is, a
// number in digits, claims as JSON text.
func parameterValues(name string, raw json.RawMessage) ([]string, error) {
	raw = bytes.TrimSpace(raw)
	var s string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, nil
	case raw[0] == '"':
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("%s in the request object cannot be read", name)
		}
		return []string{s}, nil
	case raw[0] == '{':
		return []string{string(raw)}, nil
	case raw[0] == '[' && name == "resource":
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("resource in the request object must be a string or a list of strings")
		}
		return list, nil
	case raw[0] == '[':
		return nil, fmt.Errorf("%s in the request object must not be a list", name)
	}
	return []string{string(raw)}, nil
}
