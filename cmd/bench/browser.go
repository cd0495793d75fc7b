package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
	"time"
)

// The PKCE pair of every request (RFC 7636). It is no secret here.
const verifier = "a-code-verifier-that-is-long-enough-for-rfc-7636-0123456789"

var challenge = func() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

// browser is one person at one browser: cookies and nothing else.
type browser struct {
	person  int
	cookies map[string]string
}

func (b *browser) take(a *answer) {
	a.setCookies(func(name, value string) {
		if b.cookies == nil {
			b.cookies = map[string]string{}
		}
		b.cookies[name] = value
	})
}

// header is the Cookie header.
func (b *browser) header() string {
	var pairs []string
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// authorizeURL is an authorization request without state and nonce, which the caller appends.
func authorizeURL(client, scope string) string {
	return "/authorize?" + url.Values{
		"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {scope},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode()
}

var errSignIn = errors.New("sign-in failed")

// signIn follows an authorization request through the pages that it leads to, as a person would,
// until it comes back to the application, and returns where that is. Each page is answered once.
func (b *browser) signIn(c *conn, target, password string) (location string, err error) {
	seen := map[string]bool{}
	for range 12 {
		headers := []string{"Accept: text/html"}
		if len(b.cookies) > 0 {
			headers = append(headers, b.header())
		}
		a, err := c.do(get(c.addr, target, headers...))
		if err != nil {
			return "", err
		}
		b.take(a)
		if a.status == 200 {
			fields := url.Values{}
			var action string
			switch {
			case bytes.Contains(a.body, []byte(`id="login-page"`)):
				fields.Set("username", personName(b.person))
				fields.Set("password", password)
			case bytes.Contains(a.body, []byte(`id="consent-page"`)):
				fields.Set("decision", "allow")
			default:
				return "", fmt.Errorf("%w: an unexpected page at %s", errSignIn, target)
			}
			if action = attribute(a.body, `<form method="post" action="`); action == "" || seen[action] {
				return "", fmt.Errorf("%w: the page at %s leads nowhere", errSignIn, target)
			}
			seen[action] = true
			fields.Set("csrf", attribute(a.body, `name="csrf" value="`))
			a, err = c.do(post(c.addr, action, fields.Encode(), b.header(), "Origin: http://"+c.addr))
			if err != nil {
				return "", err
			}
			// A sign-in that is turned away because too many passwords are being checked is tried
			// again.
			for begun := time.Now(); a.status == 503 && time.Since(begun) < time.Minute; {
				time.Sleep(500 * time.Millisecond)
				if a, err = c.do(post(c.addr, action, fields.Encode(), b.header(), "Origin: http://"+c.addr)); err != nil {
					return "", err
				}
			}
			b.take(a)
		}
		if a.status != 303 {
			return "", fmt.Errorf("%w: status %d at %s", errSignIn, a.status, target)
		}
		if target = string(a.location); strings.HasPrefix(target, callback) {
			return target, nil
		}
		target = strings.TrimPrefix(target, "http://"+c.addr)
	}
	return "", fmt.Errorf("%w: it goes on and on", errSignIn)
}

// attribute is what follows a piece of HTML up to the next quote, unescaped.
func attribute(page []byte, before string) string {
	_, rest, ok := bytes.Cut(page, []byte(before))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return html.UnescapeString(string(value))
}
