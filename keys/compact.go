package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxJWT    = 256 << 10 // bytes; nothing legitimate is larger
	maxHeader = 8 << 10   // bytes of the decoded header
	maxDepth  = 32        // of nested JSON
)

// Header is the part of a JOSE header that matters here (RFC 7515 §4.1, RFC 7516 §4.1). Whatever
// offers a key or an address of one (jwk, jku, x5u, x5c) is not read at all: a key comes from who
// the signer is known to be (RFC 8725 §3.10).
type Header struct {
	Algorithm         string // alg
	ContentEncryption string // enc; set only in a JWE
	KeyID             string // kid
	Type              string // typ, as sent
	ContentType       string // cty
}

// Encrypted reports whether the header is that of a JWE.
func (h Header) Encrypted() bool { return h.ContentEncryption != "" }

// IsType reports whether typ is the given media type; both may leave out application/
// (RFC 7515 §4.1.9). "" stands for a header without typ or with JWT.
func (h Header) IsType(typ string) bool {
	have := mediaType(h.Type)
	return have == mediaType(typ) || typ == "" && have == "jwt"
}

func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// PeekHeader reads the header of a JWS or JWE in compact form without believing anything in it.
func PeekHeader(jwt string) (Header, error) {
	parts, err := splitCompact(jwt)
	if err != nil {
		return Header{}, err
	}
	return parseHeader(parts[0], len(parts) == 5)
}

// splitCompact cuts a compact serialisation (RFC 7515 §7.1, RFC 7516 §7.1) into its three or five
// parts, and refuses by its size, dots and alphabet whatever is not one, before anything is
// decoded.
func splitCompact(jwt string) ([]string, error) {
	if len(jwt) > maxJWT {
		return nil, fmt.Errorf("the JWT is larger than %d bytes", maxJWT)
	}
	dots := 0
	for i := 0; i < len(jwt); i++ {
		switch c := jwt[i]; {
		case c == '.':
			if dots++; dots > 4 {
				return nil, errors.New("not a JWT in compact form: too many dots")
			}
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_':
		default:
			return nil, errors.New("not a JWT in compact form: a character is not base64url")
		}
	}
	if dots != 2 && dots != 4 {
		return nil, errors.New("not a JWT in compact form: it must have three parts, or five when encrypted")
	}
	return strings.Split(jwt, "."), nil
}

// decodePart decodes strictly, so that no token has a second spelling.
func decodePart(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("not a JWT in compact form: a part is not base64url")
	}
	return b, nil
}

func parseHeader(part string, encrypted bool) (Header, error) {
	raw, err := decodePart(part)
	if err != nil {
		return Header{}, err
	}
	if len(raw) > maxHeader {
		return Header{}, fmt.Errorf("the JWT header is larger than %d bytes", maxHeader)
	}
	if err := CheckJSON(raw); err != nil {
		return Header{}, fmt.Errorf("JWT header: %w", err)
	}
	// A map, because encoding/json would match the members of a struct whatever their case.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return Header{}, errors.New("the JWT header is not a JSON object")
	}
	// No extension is understood here, so none may be critical (RFC 7515 §4.1.11). b64 changes what
	// is signed (RFC 7797 §6). zip lets a small message become a large one, and compression beside
	// secrets leaks them (RFC 8725 §3.6).
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, ok := members[name]; ok {
			return Header{}, fmt.Errorf("the JWT header has %s, which is not supported", name)
		}
	}
	var h Header
	for name, to := range map[string]*string{
		"alg": &h.Algorithm, "enc": &h.ContentEncryption, "kid": &h.KeyID, "typ": &h.Type, "cty": &h.ContentType,
	} {
		if v, ok := members[name]; ok {
			if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, to) != nil {
				return Header{}, fmt.Errorf("%s in the JWT header is not a string", name)
			}
		}
	}
	switch {
	case h.Algorithm == "":
		return Header{}, errors.New("the JWT header has no alg")
	case encrypted && h.ContentEncryption == "":
		return Header{}, errors.New("the JWT header has no enc")
	case !encrypted && h.ContentEncryption != "":
		return Header{}, errors.New("the JWT header has enc, but the JWT is not encrypted")
	}
	return h, nil
}

var errEncrypted = errors.New("the JWT is encrypted; a signed one was expected")

// parseJWS reads a compact JWS strictly; the signature is not looked at yet.
func parseJWS(jws string, algs []string) (Header, []byte, error) {
	parts, err := splitCompact(jws)
	if err != nil {
		return Header{}, nil, err
	}
	if len(parts) != 3 {
		return Header{}, nil, errEncrypted
	}
	h, err := parseHeader(parts[0], false)
	if err != nil {
		return Header{}, nil, err
	}
	if !slices.Contains(algs, h.Algorithm) {
		return Header{}, nil, fmt.Errorf("the JWT is signed with %.20q, which is not accepted here", h.Algorithm)
	}
	payload, err := decodePart(parts[1])
	if err != nil {
		return Header{}, nil, err
	}
	if _, err := decodePart(parts[2]); err != nil {
		return Header{}, nil, err
	}
	return h, payload, nil
}

// CheckJSON reports, by its error, whether raw is one JSON value that every parser reads alike:
// valid UTF-8, no member twice (not even in another case, because encoding/json does not tell them
// apart), nested at most 32 deep, nothing behind it (RFC 8725 §2.4, RFC 7519 §4).
func CheckJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("not valid UTF-8")
	}
	if !json.Valid(raw) { // the token reader below is more lenient
		return errors.New("not valid JSON")
	}
	type frame struct {
		members map[string]bool // nil for an array
		atName  bool
	}
	var open []frame
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.New("not valid JSON")
		}
		if n := len(open); n > 0 && open[n-1].members != nil {
			top := &open[n-1]
			if name, ok := tok.(string); ok && top.atName {
				folded := fold(name)
				if top.members[folded] {
					return fmt.Errorf("the member %.40q occurs twice", name)
				}
				top.members[folded] = true
				top.atName = false
				continue
			}
			top.atName = true // after this value
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, frame{members: map[string]bool{}, atName: true})
		case json.Delim('['):
			open = append(open, frame{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			if n := len(open); n > 0 && open[n-1].members != nil {
				open[n-1].atName = true
			}
		}
		if len(open) > maxDepth {
			return fmt.Errorf("the JSON is nested more than %d deep", maxDepth)
		}
	}
}

// fold maps a name to one representative of all that differ from it in case only.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// checkClaims is CheckJSON for a payload, which must be an object (RFC 7519 §7.2).
func checkClaims(payload []byte) error {
	if err := CheckJSON(payload); err != nil {
		return fmt.Errorf("JWT payload: %w", err)
	}
	if t := bytes.TrimLeft(payload, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return errors.New("the JWT payload is not a JSON object")
	}
	return nil
}
