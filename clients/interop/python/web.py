"""A Flask application with Authlib, and its calls by Requests, as Authlib's documentation writes them."""
import json
import os
import sys
import threading

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # http on loopback
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from flask import Flask, jsonify, redirect, session, url_for
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session as RequestsOAuth2Session
from werkzeug.serving import make_server

settings = json.loads(os.environ["SETTINGS"])
issuer = settings["issuer"]
discovery = issuer + "/.well-known/openid-configuration"
metadata = requests.get(discovery, timeout=10).json()


def say(message):
    print(json.dumps(message), flush=True)


def open_url(url, until="", fresh=False):
    say({"open": url, "until": until, "fresh": fresh})
    return json.loads(sys.stdin.readline())["at"]


def prove(sentence):
    def run(what):
        try:
            what()
            say({"passed": sentence})
        except Exception as err:  # whatever went wrong is the test's to tell
            say({"failed": sentence, "because": f"{type(err).__name__}: {err}"})

    return run


app = Flask(__name__)
app.secret_key = os.urandom(32)
oauth = OAuth(app)
seen = {}

for name, more in {
    "basic": {},
    "post": {"token_endpoint_auth_method": "client_secret_post"},
    "public": {"token_endpoint_auth_method": "none"},
    "es256": {},
    "without_pkce": {"pkce": False},
}.items():
    kwargs = {"scope": "openid profile email groups offline_access"}
    if more.pop("pkce", True):
        kwargs["code_challenge_method"] = "S256"
    oauth.register(
        name,
        client_id=settings[name]["client_id"],
        client_secret=settings[name].get("client_secret"),
        server_metadata_url=discovery,
        client_kwargs={**kwargs, **more},
    )


@app.route("/<name>/login")
def login(name):
    return oauth.create_client(name).authorize_redirect(url_for("callback", name=name, _external=True))


@app.route("/<name>/callback")
def callback(name):
    client = oauth.create_client(name)
    token = client.authorize_access_token()
    seen[name] = {"token": token, "userinfo": client.userinfo(token=token)}
    session["user"] = token["userinfo"]["sub"]
    return redirect(url_for("home"))


@app.route("/")
def home():
    return session.get("user", "nobody")


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())


protector = ResourceProtector()
protector.register_token_validator(Validator(issuer=issuer, resource_server=settings["service"]["audience"]))


@app.route("/api")
@protector(None)
def api():
    from authlib.integrations.flask_oauth2 import current_token

    return jsonify(sub=current_token["sub"], client_id=current_token["client_id"])


host, port = settings["listen"].split(":")
server = make_server(host, int(port), app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://{host}:{port}"


def sign_in(name):
    at = open_url(f"{base}/{name}/login", fresh=True)
    assert at == base + "/", at
    token = seen[name]["token"]
    assert token["userinfo"]["sub"] == settings["sub"], token
    info = seen[name]["userinfo"]
    assert info["email"] == "ada@example.com" and info["email_verified"] is True and info["groups"] == ["staff"], info
    return token


for name, sentence in {
    "basic": "Authlib with Flask: client_secret_basic",
    "post": "Authlib with Flask: client_secret_post",
    "public": "Authlib with Flask: a public client",
    "es256": "Authlib with Flask: ES256 ID tokens",
    "without_pkce": "Authlib with Flask: without PKCE, where the client may",
}.items():
    prove(sentence)(lambda: sign_in(name))


def service(**more):
    own = settings["service"]
    return OAuth2Session(own["client_id"], own["client_secret"], token_endpoint=metadata["token_endpoint"], **more)


@prove("Authlib with Requests: client_credentials, and an API that verifies the JWT by the published keys")
def _():
    own = service()
    token = own.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", resource=settings["service"]["audience"])
    answer = own.get(base + "/api")
    assert answer.status_code == 200 and answer.json()["client_id"] == settings["service"]["client_id"], answer.text
    head, payload, signature = token["access_token"].split(".")
    spoiled = signature[:-8] + ("AAAAAAAA" if signature[-8:] != "AAAAAAAA" else "BBBBBBBB")
    for bad in (".".join((head, payload, spoiled)), seen["basic"]["token"]["access_token"], "nonsense"):
        answer = requests.get(base + "/api", headers={"Authorization": "Bearer " + bad}, timeout=10)
        assert answer.status_code == 401, (bad, answer.status_code, answer.text)


@prove("Authlib with Requests: refresh, introspection and revocation")
def _():
    own = settings["basic"]
    token = seen["basic"]["token"]
    s = OAuth2Session(own["client_id"], own["client_secret"], token=token, token_endpoint=metadata["token_endpoint"])
    renewed = s.refresh_token(metadata["token_endpoint"])
    assert renewed["refresh_token"] != token["refresh_token"]
    about = s.introspect_token(metadata["introspection_endpoint"], token=renewed["access_token"], token_type_hint="access_token").json()
    assert about["active"] is True and about["sub"] == settings["sub"] and about["username"] == "ada", about
    assert s.revoke_token(metadata["revocation_endpoint"], token=renewed["refresh_token"], token_type_hint="refresh_token").status_code == 200
    assert s.introspect_token(metadata["introspection_endpoint"], token=renewed["access_token"]).json() == {"active": False}


@prove("Authlib with Requests: private_key_jwt and client_secret_jwt, addressed to the token endpoint")
def _():
    from joserfc.jwk import ECKey

    for name, method, secret in (
        ("private_key_jwt", PrivateKeyJWT(metadata["token_endpoint"], alg="ES256"), None),
        ("secret_jwt", ClientSecretJWT(metadata["token_endpoint"]), settings["secret_jwt"]["client_secret"]),
    ):
        own = settings[name]
        if secret is None:
            secret = ECKey.import_key(own["key"])
        s = OAuth2Session(own["client_id"], secret, token_endpoint_auth_method=method)
        s.register_client_auth_method(method)
        token = s.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        assert token["token_type"].lower() == "bearer", token


@prove("Requests-OAuthlib: client_credentials")
def _():
    own = settings["service"]
    s = RequestsOAuth2Session(client=BackendApplicationClient(client_id=own["client_id"]))
    token = s.fetch_token(metadata["token_endpoint"], client_id=own["client_id"], client_secret=own["client_secret"], resource=own["audience"])
    answer = s.get(base + "/api")
    assert answer.status_code == 200, (token, answer.text)


@prove("Requests-OAuthlib: a code with PKCE, refresh")
def _():
    own = settings["basic"]
    redirect_uri = base + "/basic/callback"
    s = RequestsOAuth2Session(own["client_id"], redirect_uri=redirect_uri, scope=["openid", "offline_access"], pkce="S256")
    url, state = s.authorization_url(metadata["authorization_endpoint"])
    at = open_url(url, redirect_uri)
    token = s.fetch_token(metadata["token_endpoint"], authorization_response=at, client_secret=own["client_secret"])
    assert s.get(metadata["userinfo_endpoint"]).json()["sub"] == settings["sub"]
    auth = requests.auth.HTTPBasicAuth(own["client_id"], own["client_secret"])
    assert s.refresh_token(metadata["token_endpoint"], auth=auth)["refresh_token"] != token["refresh_token"]


server.shutdown()
