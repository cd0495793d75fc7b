"""A sample API in Flask: checks an access token on every request with the keys that the provider publishes.

    pip install -r requirements.txt
    ISSUER=http://id.localhost:9700 AUDIENCE=http://api.localhost:9710 PORT=9712 python app.py
"""
import base64
import json
import os
import re
import secrets
import socket
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import jwt
from flask import Flask, jsonify, request

ISSUER = os.environ["ISSUER"]  # whom to believe, exactly as the provider writes itself
AUDIENCE = os.environ["AUDIENCE"]  # our own name: the token must have been made for us
ALGORITHMS = os.environ.get("ALGORITHMS", "RS256 ES256 PS256 EdDSA").split()  # our list, never the token's
ORIGINS = os.environ.get("ALLOWED_ORIGINS", "").split()  # whose pages may call from a browser
ADMIN_MAX_AGE = int(os.environ.get("ADMIN_MAX_AGE", "300"))  # seconds since an administrator's sign-in, at most
ADMIN_ACR = os.environ.get("ADMIN_ACR", "").split()  # kinds of sign-in that do for administrators; none named: all do
LEDGER_FILE = os.environ.get("LEDGER_FILE", "")  # keeps the ledger; none named: memory does

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 4096

# Names below localhost mean this machine (RFC 6761, section 6.3). Browsers know it, the system often does not.
_resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: _resolve(
    "localhost" if str(host).endswith(".localhost") else host, *more, **named)


class Refused(Exception):
    def __init__(self, status, error, description, **parameters):
        self.status, self.error, self.description, self.parameters = status, error, description, parameters


class NoKeys(Exception):
    """The provider cannot be asked. That is no fault of the caller, and never a way in."""


class Keys:
    """The provider's published keys. Looks again after max-age, or sooner for an unknown key, but not all the time."""

    def __init__(self):
        self.lock, self.keys, self.fresh_until, self.next_look = threading.Lock(), {}, float("-inf"), float("-inf")

    def find(self, kid, algorithm):
        with self.lock:
            now = time.monotonic()
            stale, unknown = now >= self.fresh_until, kid not in self.keys and now >= self.next_look
            if stale or unknown:
                if not stale:  # a new key, or an invented one: the next invented one has to wait
                    self.next_look = now + 10
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
        self.keys = keys
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


class Ledger:
    """Everybody's entries, each person's apart: the subject of the access token is whose they are."""

    def __init__(self, file):
        self.lock, self.file, self.by_subject = threading.Lock(), file, {}
        if file and os.path.exists(file):
            with open(file, encoding="utf-8") as opened:
                self.by_subject = json.load(opened)

    def of(self, subject):
        with self.lock:
            return list(reversed(self.by_subject.get(subject, [])))

    def replace(self, subject, change):
        """Gives change the entries of a person and keeps what it returns, in the file first."""
        with self.lock:
            entries = change(self.by_subject.get(subject, []))
            after = {**self.by_subject, subject: entries}
            if self.file:  # a whole file takes the place of the other, so that a crash leaves one of the two
                fresh, name = tempfile.mkstemp(dir=os.path.dirname(self.file) or ".")
                with open(fresh, "w", encoding="utf-8") as opened:
                    json.dump(after, opened)
                    opened.flush()
                    os.fsync(fresh)
                os.replace(name, self.file)
            self.by_subject = after


ledger = Ledger(LEDGER_FILE)


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
    # A token does not help whose sign-in is too old or too weak: say which would (RFC 9470, section 3).
    demand = {"max_age": str(ADMIN_MAX_AGE), **({"acr_values": " ".join(ADMIN_ACR)} if ADMIN_ACR else {})}
    signed_in = who.get("auth_time")
    if not isinstance(signed_in, (int, float)) or not time.time() - signed_in <= ADMIN_MAX_AGE:
        raise Refused(401, "insufficient_user_authentication", "this needs a more recent sign-in", **demand)
    if ADMIN_ACR and who.get("acr") not in ADMIN_ACR:
        raise Refused(401, "insufficient_user_authentication", "this needs another kind of sign-in", **demand)
    return {"message": "Welcome, administrator.", "sub": who["sub"]}


@app.get("/entries")
def entries():
    own = ledger.of(claims()["sub"])
    return {"entries": own, "balance": sum(one["cents"] for one in own)}


@app.post("/entries")
def add_entry():
    subject = claims()["sub"]
    asked = request.get_json(silent=True)
    what, cents = (asked.get("what"), asked.get("cents")) if isinstance(asked, dict) else (None, None)
    what = what.strip() if isinstance(what, str) else ""
    if not 1 <= len(what) <= 120 or not what.isprintable():
        return {"error": "invalid_entry", "error_description": "what must be a line of 1 to 120 characters"}, 400
    if type(cents) is not int or cents == 0 or abs(cents) > 100_000_000:
        return {"error": "invalid_entry", "error_description": "cents must be a whole number, at most 100000000, and not 0"}, 400
    entry = {"id": secrets.token_urlsafe(16), "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "what": what, "cents": cents}

    def added(own):
        if len(own) >= 500 or len(ledger.by_subject) > 1000:
            raise Full
        return [*own, entry]

    ledger.replace(subject, added)
    return {"entry": entry}, 201


@app.delete("/entries/<id>")
def remove_entry(id):
    subject = claims()["sub"]
    if all(one["id"] != id for one in ledger.of(subject)):
        return {"error": "not_found", "error_description": "there is no such entry in this ledger"}, 404
    ledger.replace(subject, lambda own: [one for one in own if one["id"] != id])
    return "", 204


class Full(Exception):
    """There is no room for another entry."""


@app.errorhandler(413)  # newer versions of Flask say so before anything is read
def too_large(_):
    return {"error": "invalid_entry", "error_description": "the body is larger than 4096 bytes"}, 400


@app.errorhandler(Full)
def full(_):
    return {"error": "full", "error_description": "the ledger is full: remove an entry first"}, 409


# Where this API says which provider's tokens it takes, when its name is an address (RFC 9728, sections 3 and 3.1).
_name = urllib.parse.urlsplit(AUDIENCE)
METADATA_PATH = "/.well-known/oauth-protected-resource" + _name.path.rstrip("/")
METADATA_URL = f"{_name.scheme}://{_name.netloc}{METADATA_PATH}" if _name.scheme in ("http", "https") and _name.netloc else None


def metadata():
    answer = jsonify(resource=AUDIENCE, resource_name="Ledger API in Flask", authorization_servers=[ISSUER],
                     bearer_methods_supported=["header"])
    answer.headers["Access-Control-Allow-Origin"] = "*"  # it says the same to everybody
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


if METADATA_URL:
    app.add_url_rule(METADATA_PATH, view_func=metadata)


@app.errorhandler(Refused)
def refused(no):
    answer = jsonify(error=no.error or "unauthorized", error_description=no.description)
    answer.status_code = no.status
    parameters = {"realm": AUDIENCE}
    if no.error:  # nothing is wrong yet when no token was sent (RFC 6750, section 3.1)
        parameters.update(error=no.error, error_description=no.description)
    parameters.update(no.parameters)
    if METADATA_URL:
        parameters["resource_metadata"] = METADATA_URL  # RFC 9728, section 5.1
    answer.headers["WWW-Authenticate"] = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    return answer


@app.errorhandler(NoKeys)
def no_keys(_):
    return {"error": "temporarily_unavailable", "error_description": "the keys cannot be fetched at the moment"}, 503


@app.after_request
def headers(answer):
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers.add("Vary", "Origin")
    if request.headers.get("Origin") in ORIGINS:
        answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        answer.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE"
        answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
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
