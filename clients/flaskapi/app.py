"""A sample API in Flask: checks an access token on every request with the keys that the provider publishes.

    pip install -r requirements.txt
    ISSUER=http://id.localhost:9700 AUDIENCE=http://api.localhost:9710 PORT=9712 python app.py
"""
import base64
import json
import os
import re
import socket
import threading
import time
import urllib.request

import jwt
from flask import Flask, jsonify, request

ISSUER = os.environ["ISSUER"]  # whom to believe, exactly as the provider writes itself
AUDIENCE = os.environ["AUDIENCE"]  # our own name: the token must have been made for us
ALGORITHMS = os.environ.get("ALGORITHMS", "RS256 ES256 PS256 EdDSA").split()  # our list, never the token's
ORIGINS = os.environ.get("ALLOWED_ORIGINS", "").split()  # whose pages may call from a browser

app = Flask(__name__)

# Names below localhost mean this machine (RFC 6761, section 6.3). Browsers know it, the system often does not.
_resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: _resolve(
    "localhost" if str(host).endswith(".localhost") else host, *more, **named)


class Refused(Exception):
    def __init__(self, status, error, description):
        self.status, self.error, self.description = status, error, description


class NoKeys(Exception):
    """The provider cannot be asked. That is no fault of the caller, and never a way in."""


class Keys:
    """The provider's published keys. Looks again after max-age, or sooner for an unknown key, but not all the time."""

    def __init__(self):
        self.lock, self.keys, self.fetched, self.fresh_until = threading.Lock(), {}, float("-inf"), float("-inf")

    def find(self, kid, algorithm):
        with self.lock:
            now = time.monotonic()
            if now >= self.fresh_until or (kid not in self.keys and now >= self.fetched + 10):
                try:
                    self.fetch(now)
                except Exception as problem:
                    raise NoKeys from problem
            bound_to, key = self.keys.get(kid, (None, None))
        if key is None or bound_to not in (None, algorithm):
            raise Refused(401, "invalid_token", "the token is signed with an unknown key")
        return key

    def fetch(self, now):
        with urllib.request.urlopen(ISSUER.rstrip("/") + "/.well-known/openid-configuration", timeout=5) as answer:
            metadata = json.load(answer)
        if metadata["issuer"] != ISSUER:
            raise ValueError("the discovery document is of another issuer")
        with urllib.request.urlopen(metadata["jwks_uri"], timeout=5) as answer:
            published = json.load(answer)["keys"]
            age = re.search(r"max-age=(\d+)", answer.headers.get("Cache-Control", ""))
        keys = {}
        for jwk in published:
            try:
                if jwk.get("use", "sig") == "sig":
                    keys[jwk["kid"]] = jwk.get("alg"), jwt.PyJWK(jwk).key
            except (jwt.PyJWTError, KeyError):
                pass  # a kind of key that is not known here
        self.keys, self.fetched = keys, now
        self.fresh_until = now + max(10, min(int(age.group(1)) if age else 300, 86400))


keys = Keys()


def claims():
    """The verified claims of the access token that the request brought, or Refused (RFC 6750, RFC 9068 section 4)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, None, "send an access token in the Authorization header")
    token = token.strip(" ")
    if not token or re.search(r"[\s,]", token):  # two headers arrive joined by a comma
        raise Refused(400, "invalid_request", "the Authorization header is not Bearer and one token")
    try:
        # Only the one right spelling: base64 decoders let through stray characters and unused last bits.
        parts = token.split(".")
        decoded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts]
        if len(parts) != 3 or parts != [base64.urlsafe_b64encode(d).rstrip(b"=").decode() for d in decoded]:
            raise ValueError("not a JWT")
        header = json.loads(decoded[0])
        kid, algorithm = header["kid"], header["alg"]
        if algorithm not in ALGORITHMS or "crit" in header or not isinstance(kid, str):
            raise ValueError("not an accepted header")
        if header.get("typ", "").lower() not in ("at+jwt", "application/at+jwt"):  # ID tokens have the same signer
            raise ValueError("not an access token")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Refused(401, "invalid_token", "the token is not an access token signed with an accepted algorithm")
    key = keys.find(kid, algorithm)
    try:
        verified = jwt.decode(token, key, algorithms=[algorithm], issuer=ISSUER, audience=AUDIENCE, options={
            "require": ["iss", "sub", "aud", "exp", "iat"], "verify_iat": False, "verify_nbf": False})
        # The provider's clock may be a minute ahead of ours; the end of a token is not put off.
        if max(verified["iat"], verified.get("nbf", 0)) > time.time() + 60 or not verified["sub"]:
            raise ValueError("from the future")
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Refused(401, "invalid_token", "the token is not valid now, not for us, or its signature is wrong")
    return verified


@app.get("/public")
def public():
    return {"message": "Anybody may read this."}


@app.get("/me")
def me():
    who = claims()
    return {"message": "The token is good.", "sub": who["sub"], "client_id": who.get("client_id", ""),
            "scope": who.get("scope", ""), "groups": who.get("groups", []), "roles": who.get("roles", [])}


@app.get("/admin")
def admin():
    who = claims()
    roles = who.get("roles")
    if not isinstance(roles, list) or "admin" not in roles:
        raise Refused(403, "insufficient_scope", "this needs the role admin")
    return {"message": "Welcome, administrator.", "sub": who["sub"]}


@app.errorhandler(Refused)
def refused(no):
    answer = jsonify(error=no.error or "unauthorized", error_description=no.description)
    answer.status_code = no.status
    challenge = f'Bearer realm="{AUDIENCE}"'
    if no.error:  # nothing is wrong yet when no token was sent (RFC 6750, section 3.1)
        challenge += f', error="{no.error}", error_description="{no.description}"'
    answer.headers["WWW-Authenticate"] = challenge
    return answer


@app.errorhandler(NoKeys)
def no_keys(_):
    return {"error": "temporarily_unavailable", "error_description": "the keys cannot be fetched at the moment"}, 503


@app.after_request
def headers(answer):
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers.add("Vary", "Origin")
    if request.headers.get("Origin") in ORIGINS:
        answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        answer.headers["Access-Control-Allow-Headers"] = "Authorization"
        answer.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate"
    return answer


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9111"))
    try:
        from waitress import serve
    except ImportError:
        app.run(host, port)
    else:
        serve(app, host=host, port=port)
