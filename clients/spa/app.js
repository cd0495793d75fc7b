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
const out = "stay-out"; // the person asked to be forgotten here: no silent sign-in
const words = JSON.parse(document.getElementById("texts").textContent);
const language = document.documentElement.lang;

let tokens = null; // { access, id, claims, expires, userinfo, sessionState }
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

// signIn leaves for the provider. asked may hold prompt, max_age and acr_values; then is the button whose call is to be made
// on the way back, and quiet says that nobody has asked for this, so that a no is no error.
async function signIn(asked = {}, { then = "", quiet = false } = {}) {
  const { authorization_endpoint } = await metadata();
  const begun = { state: random(), nonce: random(), verifier: random(), then, quiet, known: Boolean(tokens) };
  sessionStorage.setItem(pending, JSON.stringify(begun));
  const url = new URL(authorization_endpoint);
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(begun.verifier));
  const parameters = {
    response_type: "code", client_id: config.clientId, redirect_uri: config.callback, scope: config.scope,
    state: begun.state, nonce: begun.nonce, code_challenge: encode(challenge), code_challenge_method: "S256", ...asked,
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  for (const resource of config.resources.split(" ").filter(Boolean)) url.searchParams.append("resource", resource);
  if (quiet) location.replace(url); // the way back leads to where the person came from
  else location.assign(url);
}

// silently signs in whom the provider knows already. It happens once per load of the page, never on the way back.
async function silently() {
  visible("waiting", true);
  try {
    await signIn({ prompt: "none" }, { quiet: true });
  } catch {
    visible("waiting", false); // the provider cannot be asked; the button will say why
    visible("signed-out", true);
  }
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
  if (answer.has("error") && begun.quiet) {
    visible("signed-out", true);
    if (begun.known) say("note", words.ended);
    return;
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
  const { who, userinfo } = await person(provider, verified.claims, response.access_token);
  const life = typeof response.expires_in === "number" ? response.expires_in : 300;
  tokens = {
    access: response.access_token, id: response.id_token, claims: verified.claims, expires: Date.now() + life * 1000,
    userinfo, sessionState: answer.get("session_state"),
  };
  sessionStorage.removeItem(out);
  show(verified, who, provider);
  watch(provider);
  await showLedger();
  const button = begun.then && document.getElementById(begun.then);
  if (button) {
    say("note", words.stepped_up);
    await call(button, true);
  }
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

// person asks userinfo for what the ID token does not say (OIDC Core section 5.4). It must be about the same person. A
// provider that keeps tokens for APIs away from it says no, and then the ID token has to do.
async function person(provider, claims, accessToken) {
  if (!provider.userinfo_endpoint) return { who: claims, userinfo: false };
  const response = await fetch(provider.userinfo_endpoint, userinfoRequest(accessToken));
  if (response.status === 401 || response.status === 403) return { who: claims, userinfo: false };
  if (!response.ok) throw new Error(`userinfo answered ${response.status}`);
  const info = await response.json();
  if (info.sub !== claims.sub) throw new Error("userinfo is about somebody else");
  return { who: { ...claims, ...info }, userinfo: true };
}

function userinfoRequest(accessToken) {
  return { credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer", headers: { Authorization: `Bearer ${accessToken}` } };
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

function forget(reason) {
  tokens = null;
  clearInterval(watching);
  document.getElementById("op-session")?.remove();
  for (const element of document.querySelectorAll("#signed-in dd, #signed-in pre, #who, #subject, #balance")) element.textContent = "";
  document.getElementById("entries")?.replaceChildren();
  document.getElementById("course")?.replaceChildren();
  document.getElementById("api-answer")?.setAttribute("hidden", "");
  visible("signed-in", false);
  visible("account", false);
  visible("signed-out", true);
  say("error", "");
  say("note", reason);
}

// --- noticing a sign-out --------------------------------------------------------------------------------------------

let watching = 0;

// watch looks whether the session at the provider goes on: it asks when the person comes back to this tab and now and then,
// and where the browser lets the provider's own page see its cookie in a frame, that page tells at once (OIDC Session
// Management section 3).
function watch(provider) {
  clearInterval(watching);
  watching = setInterval(() => stillSignedIn().catch(() => {}), 15000); // no answer says nothing
  document.getElementById("op-session")?.remove();
  if (!provider.check_session_iframe || !tokens.sessionState) return;
  const frame = document.createElement("iframe");
  frame.id = "op-session";
  frame.hidden = true;
  frame.addEventListener("load", () => ask(frame, provider));
  frame.src = provider.check_session_iframe;
  document.body.append(frame);
}

function ask(frame, provider) {
  const origin = new URL(provider.check_session_iframe).origin;
  const again = () => tokens && frame.isConnected && frame.contentWindow.postMessage(`${config.clientId} ${tokens.sessionState}`, origin);
  addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== origin || !frame.isConnected || !tokens) return;
    if (event.data === "unchanged") setTimeout(again, 2000);
    else if (event.data === "changed") changed().catch(() => {});
  });
  again();
}

// The frame alone may be wrong: some browsers keep the provider's cookie from it.
async function changed() {
  if (tokens.userinfo) await stillSignedIn();
}

async function stillSignedIn() {
  if (document.visibilityState !== "visible" || !tokens) return;
  if (Date.now() >= tokens.expires) {
    if (!typing()) await signIn({ prompt: "none" }, { quiet: true });
    return;
  }
  if (!tokens.userinfo || !discovered?.userinfo_endpoint) return;
  const asked = tokens;
  const response = await fetch(discovered.userinfo_endpoint, userinfoRequest(asked.access));
  if (response.status === 401 && tokens === asked) forget(words.ended);
}

const typing = () => [...document.querySelectorAll("#entry input")].some((input) => input.value);

// --- the ledger -----------------------------------------------------------------------------------------------------

const ledger = document.getElementById("ledger")?.dataset.api;
const money = new Intl.NumberFormat(language, { style: "currency", currency: "EUR" });
const euros = (cents) => money.format(cents / 100);

async function ledgerCall(options = {}) {
  if (Date.now() >= tokens.expires) {
    await signIn({ prompt: "none" }, { quiet: true });
    return null;
  }
  const response = await fetch(`${ledger}/entries`, {
    credentials: "omit", cache: "no-store", redirect: "error", ...options,
    headers: { Authorization: `Bearer ${tokens.access}`, ...options.headers },
  });
  if (!response.ok) throw new Error(fill(words.ledger_away, response.status));
  return response.json();
}

async function showLedger() {
  if (!ledger) return;
  const answer = await ledgerCall();
  if (!answer) return;
  text("balance", euros(answer.balance));
  document.getElementById("entries").replaceChildren(...answer.entries.slice(0, 5).map((entry) => {
    const row = document.createElement("li");
    const day = document.createElement("time"), what = document.createElement("span"), amount = document.createElement("b");
    day.dateTime = entry.when;
    day.textContent = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" }).format(new Date(entry.when));
    what.textContent = entry.what;
    amount.textContent = euros(entry.cents);
    if (entry.cents < 0) amount.className = "out";
    row.append(day, what, amount);
    return row;
  }));
  visible("nothing-yet", answer.entries.length === 0);
  draw(answer);
}

// draw shows how the balance moved, the oldest entry on the left.
function draw({ entries }) {
  let sum = 0;
  const values = [0, ...entries.toReversed().map((entry) => (sum += entry.cents))];
  const least = Math.min(...values), span = Math.max(...values) - least || 1;
  const points = values.map((value, i) => `${((i / (values.length - 1 || 1)) * 300).toFixed(1)},${(72 - ((value - least) / span) * 64).toFixed(1)}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.join(" "));
  document.getElementById("course").replaceChildren(line);
  document.getElementById("course").toggleAttribute("hidden", values.length < 2);
}

async function enter(form) {
  const match = /^([0-9]{1,7})(?:[.,]([0-9]{1,2}))?$/.exec(form.elements.amount.value.trim());
  const cents = match ? Number(match[1]) * 100 + Number(((match[2] ?? "") + "00").slice(0, 2)) : 0;
  if (cents < 1 || cents > 100000000) throw new Error(words.entry_bad);
  const body = JSON.stringify({ what: form.elements.what.value.trim(), cents: form.elements.way.value === "in" ? cents : -cents });
  if (await ledgerCall({ method: "POST", body, headers: { "Content-Type": "application/json" } })) {
    form.reset();
    await showLedger();
  }
}

// --- the page -------------------------------------------------------------------------------------------------------

function show({ header, claims }, who, provider) {
  text("who", who.name || who.preferred_username || who.email || claims.sub);
  text("username", who.preferred_username ?? "");
  text("email", who.email ?? "");
  text("subject", claims.sub);
  text("groups", list(who.groups));
  text("roles", list(who.roles));
  text("signature-state", fill(words.verified, header.alg, header.kid, provider.jwks_uri));
  document.getElementById("signature-state").dataset.state = "verified";
  text("id-token-header", JSON.stringify(header, null, 2));
  text("id-token-claims", JSON.stringify(claims, null, 2));
  visible("signed-out", false);
  visible("account", true);
  visible("signed-in", true);
}

async function call(button, steppedUp = false) {
  const api = button.parentElement.dataset;
  const sent = { none: undefined, access: tokens.access, tampered: tampered(tokens.access) }[button.dataset.token];
  const answer = document.getElementById("api-answer");
  answer.hidden = true;
  text("api-request", `GET ${api.api}${button.dataset.path} ${sent ? words.with_token : words.without_token}`);
  let status = 0, reason = "", challenge = "", body = "";
  try {
    const response = await fetch(api.api + button.dataset.path, {
      credentials: "omit", cache: "no-store", redirect: "error", headers: sent ? { Authorization: `Bearer ${sent}` } : {},
    });
    ({ status, statusText: reason } = response);
    challenge = response.headers.get("WWW-Authenticate") ?? "";
    body = (await response.text()).slice(0, 16384);
  } catch (problem) {
    reason = fill(words.no_answer, problem.message);
  }
  if (status === 401 && sent === tokens.access && !steppedUp) {
    const asked = stepUp(challenge);
    if (asked) return signIn(asked, { then: button.id });
    if (Date.now() >= tokens.expires) return signIn({ prompt: "none" }, { then: button.id, quiet: true });
  }
  text("api-status", String(status || ""));
  text("api-status-text", reason);
  text("www-authenticate", challenge && `WWW-Authenticate: ${challenge}`);
  text("api-body", body);
  answer.dataset.status = String(status);
  answer.dataset.api = api.name;
  answer.hidden = false;
}

// stepUp reads what an API asks of the sign-in (RFC 9470 section 3), and passes on only what looks right.
function stepUp(challenge) {
  if (!/^Bearer\b/i.test(challenge) || !/[ ,]error="insufficient_user_authentication"/.test(challenge)) return null;
  const age = /[ ,]max_age="?([0-9]{1,9})"?(?=[ ,]|$)/.exec(challenge), acr = /[ ,]acr_values="([!#-[\]-~ ]{1,500})"/.exec(challenge);
  return age || acr ? { ...(age && { max_age: age[1] }), ...(acr && { acr_values: acr[1] }) } : null;
}

function tampered(token) {
  const i = token.lastIndexOf(".") + 1;
  return token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1);
}

function inWords(code, description) {
  const about = Object.hasOwn(words, code) && code.includes("_") ? words[code] : words.refused;
  return `${about}${description ? `. ${fill(words.it_says, description.slice(0, 300))}` : ""} (${code.slice(0, 60)})`;
}

// fill puts values into the places of a text.
function fill(template, ...values) {
  const parts = template.split("%s");
  return parts.map((part, i) => part + (i < parts.length - 1 ? values[i] : "")).join("");
}

const text = (id, value) => { document.getElementById(id).textContent = value; };
const visible = (id, on) => { document.getElementById(id).hidden = !on; };
const say = (id, words) => { text(id, words); visible(id, Boolean(words)); };
const list = (value) => (Array.isArray(value) && value.length ? value.join(", ") : words.none);

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
    say("error", fill(words.failed, problem.message));
  }
}

const on = (id, what) => document.getElementById(id)?.addEventListener("click", () => attempt(what));
on("sign-in", () => signIn());
on("sign-in-silently", () => signIn({ prompt: "none" }));
on("sign-out-here", () => {
  sessionStorage.setItem(out, "1");
  forget(words.forgotten);
});
on("sign-out-everywhere", signOutEverywhere);
for (const button of document.querySelectorAll("[data-path]")) button.addEventListener("click", () => attempt(() => call(button)));
document.getElementById("entry")?.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(() => enter(event.target));
});
for (const type of ["visibilitychange", "focus"]) {
  (type === "focus" ? window : document).addEventListener(type, () => stillSignedIn().catch(() => {})); // no answer says nothing
}

const here = new URL(location.href);
// What came with the address is used once and must not stay in the history.
if (here.search) history.replaceState(null, "", here.pathname === "/callback" || here.pathname === "/signed-out" ? "/" : here.pathname);
if (here.pathname === "/callback") {
  attempt(() => finish(here.searchParams));
} else if (here.pathname === "/signed-out") {
  visible("signed-out", true);
  if (here.searchParams.has("state") && sessionStorage.getItem(leaving) === here.searchParams.get("state")) say("note", words.signed_out);
  sessionStorage.removeItem(leaving);
} else if (sessionStorage.getItem(out)) {
  visible("signed-out", true);
} else {
  silently();
}
