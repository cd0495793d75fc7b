// A public OpenID Connect client in one file: authorization code with PKCE (RFC 7636), no secret, no dependency.
// Tokens live in the variable below and nowhere else.

const config = document.getElementById("app").dataset;
const algorithms = {
  // Our own list: the token says which one it was signed with, not which ones are good (RFC 8725 section 3.1).
  RS256: { kty: "RSA", members: ["n", "e"], import: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, verify: { name: "RSASSA-PKCS1-v1_5" } },
  PS256: { kty: "RSA", members: ["n", "e"], import: { name: "RSA-PSS", hash: "SHA-256" }, verify: { name: "RSA-PSS", saltLength: 32 } },
  ES256: { kty: "EC", members: ["crv", "x", "y"], import: { name: "ECDSA", namedCurve: "P-256" }, verify: { name: "ECDSA", hash: "SHA-256" } },
  EdDSA: { kty: "OKP", members: ["crv", "x"], import: { name: "Ed25519" }, verify: { name: "Ed25519" } },
};
const clockSkew = 60; // seconds that the provider's clock may be ahead of ours
const pending = "sign-in"; // sessionStorage keys
const leaving = "sign-out";

let tokens = null; // { access, id, claims }
let discovered = null;

// --- the provider ---------------------------------------------------------------------------------------------------

async function getJSON(url, options = {}) {
  const response = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", ...options });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(`${new URL(url).pathname} answered ${response.status} ${body.error ?? ""} ${body.error_description ?? ""}`);
  return body;
}

async function metadata() {
  if (!discovered) {
    const found = await getJSON(config.issuer.replace(/\/$/, "") + "/.well-known/openid-configuration");
    if (found.issuer !== config.issuer) throw new Error("the discovery document is of another issuer");
    discovered = found;
  }
  return discovered;
}

// --- signing in -----------------------------------------------------------------------------------------------------

async function signIn(prompt) {
  const { authorization_endpoint } = await metadata();
  const begun = { state: random(), nonce: random(), verifier: random() };
  sessionStorage.setItem(pending, JSON.stringify(begun));
  const url = new URL(authorization_endpoint);
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(begun.verifier));
  const parameters = {
    response_type: "code", client_id: config.clientId, redirect_uri: config.callback, scope: config.scope,
    state: begun.state, nonce: begun.nonce, code_challenge: encode(challenge), code_challenge_method: "S256",
  };
  if (prompt) parameters.prompt = prompt;
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  for (const resource of config.resources.split(" ").filter(Boolean)) url.searchParams.append("resource", resource);
  location.assign(url);
}

async function finish(answer) {
  const begun = JSON.parse(sessionStorage.getItem(pending) ?? "null");
  for (const name of answer.keys()) {
    if (answer.getAll(name).length > 1) throw new Error("the answer of the sign-in service is garbled");
  }
  // The answer must belong to the sign-in that this tab began (RFC 6749 section 10.12). One that does not leaves that alone.
  if (!begun || answer.get("state") !== begun.state) throw new Error("this answer does not belong to a sign-in that was begun here");
  sessionStorage.removeItem(pending);
  const provider = await metadata();
  // It must come from the provider that was asked (RFC 9207 section 2.4): errors as well as codes.
  if (answer.get("iss") !== config.issuer && (answer.has("iss") || provider.authorization_response_iss_parameter_supported)) {
    throw new Error("the answer is from another sign-in service than the one that was asked");
  }
  if (answer.has("error")) throw new Error(inWords(answer.get("error"), answer.get("error_description")));
  if (!answer.get("code")) throw new Error("the answer holds neither a code nor an error");

  const response = await getJSON(provider.token_endpoint, {
    method: "POST", cache: "no-store",
    body: new URLSearchParams({
      grant_type: "authorization_code", code: answer.get("code"), redirect_uri: config.callback,
      client_id: config.clientId, code_verifier: begun.verifier,
    }),
  });
  const verified = await verify(response.id_token, provider, begun.nonce, response.access_token);
  const who = await person(provider, verified.claims, response.access_token);
  tokens = { access: response.access_token, id: response.id_token, claims: verified.claims };
  show(verified, who, provider);
}

// verify checks an ID token by the list of OIDC Core section 3.1.3.7.
async function verify(raw, provider, nonce, accessToken) {
  const parts = String(raw).split(".");
  if (parts.length !== 3) throw new Error("the ID token is not a JWT");
  const [head, body, signature] = parts.map(decode);
  const header = parse(head), claims = parse(body);
  const algorithm = Object.hasOwn(algorithms, header.alg) ? algorithms[header.alg] : null;
  if (!algorithm || header.crit !== undefined) throw new Error("the ID token is signed in a way that is not accepted");

  const { keys } = await getJSON(provider.jwks_uri);
  const jwk = keys.find((k) => k.kid === header.kid && k.kty === algorithm.kty && (k.use ?? "sig") === "sig" && (k.alg ?? header.alg) === header.alg);
  if (!jwk) throw new Error("the ID token is signed with an unknown key");
  const bare = { kty: jwk.kty };
  for (const member of algorithm.members) bare[member] = jwk[member];
  const key = await crypto.subtle.importKey("jwk", bare, algorithm.import, false, ["verify"]);
  const input = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
  if (!(await crypto.subtle.verify(algorithm.verify, key, signature, input))) throw new Error("the signature of the ID token is wrong");

  const now = Date.now() / 1000;
  const audience = [claims.aud].flat();
  if (claims.iss !== config.issuer) throw new Error("the ID token is from another issuer");
  if (!audience.includes(config.clientId)) throw new Error("the ID token is for another application");
  if ((audience.length > 1 || claims.azp !== undefined) && claims.azp !== config.clientId) throw new Error("the ID token was issued to another application");
  if (typeof claims.exp !== "number" || claims.exp <= now) throw new Error("the ID token has expired");
  if (typeof claims.iat !== "number" || claims.iat > now + clockSkew) throw new Error("the ID token is from the future");
  if (claims.nonce !== nonce) throw new Error("the ID token is of another sign-in: its nonce is not ours");
  if (typeof claims.sub !== "string" || !claims.sub) throw new Error("the ID token is about nobody");
  if (claims.at_hash !== undefined && header.alg !== "EdDSA") { // for EdDSA no hash is agreed upon everywhere
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(accessToken));
    if (claims.at_hash !== encode(hash.slice(0, 16))) throw new Error("the access token does not belong to the ID token");
  }
  return { header, claims };
}

// person asks userinfo for what the ID token does not say (OIDC Core section 5.4). It must be about the same person.
async function person(provider, claims, accessToken) {
  if (!provider.userinfo_endpoint) return claims;
  const info = await getJSON(provider.userinfo_endpoint, { cache: "no-store", headers: { Authorization: `Bearer ${accessToken}` } });
  if (info.sub !== claims.sub) throw new Error("userinfo is about somebody else");
  return { ...claims, ...info };
}

// --- signing out ----------------------------------------------------------------------------------------------------

async function signOutEverywhere() {
  const { end_session_endpoint } = await metadata();
  if (!end_session_endpoint) throw new Error("the sign-in service has no way to sign out everywhere");
  const state = random();
  sessionStorage.setItem(leaving, state);
  const url = new URL(end_session_endpoint);
  const parameters = { id_token_hint: tokens.id, client_id: config.clientId, post_logout_redirect_uri: config.signedOut, state };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

function forget(words) {
  tokens = null;
  for (const element of document.querySelectorAll("#signed-in dd, #signed-in pre, #who, #subject")) element.textContent = "";
  document.getElementById("api-answer")?.setAttribute("hidden", "");
  visible("signed-in", false);
  visible("signed-out", true);
  say("note", words);
}

// Who comes back to this tab may have signed out in another one meanwhile: the provider knows.
async function stillSignedIn() {
  if (document.visibilityState !== "visible" || !tokens || !discovered?.userinfo_endpoint) return;
  const asked = tokens;
  const response = await fetch(discovered.userinfo_endpoint, { credentials: "omit", cache: "no-store", headers: { Authorization: `Bearer ${asked.access}` } });
  if (response.status === 401 && tokens === asked) forget("Your session at the sign-in service has ended, so it ended here.");
}

// --- the page -------------------------------------------------------------------------------------------------------

function show({ header, claims }, who, provider) {
  text("who", who.name || who.preferred_username || who.email || claims.sub);
  text("username", who.preferred_username ?? "");
  text("email", who.email ?? "");
  text("subject", claims.sub);
  text("groups", list(who.groups));
  text("roles", list(who.roles));
  text("signature-state", `Signature verified: ${header.alg} with the key ${header.kid}, published at ${provider.jwks_uri}`);
  document.getElementById("signature-state").dataset.state = "verified";
  text("id-token-header", JSON.stringify(header, null, 2));
  text("id-token-claims", JSON.stringify(claims, null, 2));
  visible("signed-out", false);
  visible("signed-in", true);
}

async function call(button) {
  const api = button.parentElement.dataset;
  const sent = { none: undefined, access: tokens.access, tampered: tampered(tokens.access) }[button.dataset.token];
  const answer = document.getElementById("api-answer");
  answer.hidden = true;
  text("api-request", `GET ${api.api}${button.dataset.path} ${sent ? "with" : "without"} a token`);
  let status = 0, words = "", challenge = "", body = "";
  try {
    const response = await fetch(api.api + button.dataset.path, {
      credentials: "omit", cache: "no-store", redirect: "error", headers: sent ? { Authorization: `Bearer ${sent}` } : {},
    });
    ({ status, statusText: words } = response);
    challenge = response.headers.get("WWW-Authenticate") ?? "";
    body = (await response.text()).slice(0, 16384);
  } catch (problem) {
    words = `No answer: ${problem.message}`;
  }
  text("api-status", String(status || ""));
  text("api-status-text", words);
  text("www-authenticate", challenge && `WWW-Authenticate: ${challenge}`);
  text("api-body", body);
  answer.dataset.status = String(status);
  answer.dataset.api = api.name;
  answer.hidden = false;
}

function tampered(token) {
  const i = token.lastIndexOf(".") + 1;
  return token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1);
}

function inWords(code, description) {
  const words = {
    access_denied: "access was denied, by you or by the rules of the sign-in service",
    login_required: "the sign-in service would have had to ask you for something",
    consent_required: "the sign-in service would have had to ask for your consent",
    interaction_required: "the sign-in service would have had to ask you something",
    account_selection_required: "the sign-in service would have had to ask which account to use",
    temporarily_unavailable: "the sign-in service is busy",
  }[code] ?? "the sign-in service refused";
  return `${words}${description ? `. It says: ${description.slice(0, 300)}` : ""} (${code.slice(0, 60)})`;
}

const text = (id, value) => { document.getElementById(id).textContent = value; };
const visible = (id, on) => { document.getElementById(id).hidden = !on; };
const say = (id, words) => { text(id, words); visible(id, Boolean(words)); };
const list = (value) => (Array.isArray(value) && value.length ? value.join(", ") : "none");

// --- base64url and randomness ---------------------------------------------------------------------------------------

function random() {
  return encode(crypto.getRandomValues(new Uint8Array(32)));
}

function encode(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// decode takes only the one right spelling: atob skips spaces and the unused last bits.
function decode(part) {
  const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  if (encode(bytes) !== part) throw new Error("the ID token is not in base64url");
  return bytes;
}

function parse(bytes) {
  const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("the ID token is not a JWT");
  return value;
}

// --- begin ----------------------------------------------------------------------------------------------------------

// attempt runs what may fail and shows the failure where the person is.
async function attempt(what) {
  say("error", "");
  say("note", "");
  try {
    await what();
  } catch (problem) {
    if (!tokens) visible("signed-out", true);
    say("error", `That did not work: ${problem.message}`);
  }
}

const on = (id, what) => document.getElementById(id)?.addEventListener("click", () => attempt(what));
on("sign-in", () => signIn());
on("sign-in-silently", () => signIn("none"));
on("sign-out-here", () => forget("This page has forgotten you. The sign-in service still knows you."));
on("sign-out-everywhere", signOutEverywhere);
for (const button of document.querySelectorAll("[data-path]")) button.addEventListener("click", () => attempt(() => call(button)));
document.addEventListener("visibilitychange", () => stillSignedIn().catch(() => {})); // no answer says nothing

const here = new URL(location.href);
// What came with the address is used once and must not stay in the history.
if (here.search) history.replaceState(null, "", here.pathname === "/callback" || here.pathname === "/signed-out" ? "/" : here.pathname);
if (here.pathname === "/callback") {
  attempt(() => finish(here.searchParams));
} else {
  visible("signed-out", true);
  if (here.pathname === "/signed-out" && sessionStorage.getItem(leaving) === here.searchParams.get("state") && here.searchParams.has("state")) {
    say("note", "You were signed out everywhere.");
  }
  sessionStorage.removeItem(leaving);
}
