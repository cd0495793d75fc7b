// What openid-client promises to do with a provider, done with the one that SETTINGS names.
import { webcrypto } from 'node:crypto';
import * as readline from 'node:readline';
import * as client from 'openid-client';
import * as jose from 'jose';
import assert from 'node:assert/strict';

// Node.js 18, which Debian 12 has, does not show these by itself.
globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;

const settings = JSON.parse(process.env.SETTINGS);
const server = new URL(settings.issuer);
const insecure = { execute: [client.allowInsecureRequests] }; // http on loopback

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function open(url, until, fresh = false) {
  say({ open: String(url), until, fresh });
  return new URL(JSON.parse((await lines.next()).value).at);
}
async function prove(sentence, what) {
  try {
    await what();
    say({ passed: sentence });
  } catch (err) {
    say({ failed: sentence, because: `${err.stack} ${err.cause ? (err.cause.stack ?? JSON.stringify(err.cause)) : ''} ${err.error_description ?? ''}` });
  }
}
const discover = (id, metadata, authentication) => client.discovery(server, id, metadata, authentication, insecure);

async function signIn(config, redirect_uri, more = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedNonce = client.randomNonce();
  const expectedState = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: 'openid profile email groups offline_access',
    prompt: 'consent',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    nonce: expectedNonce,
    state: expectedState,
    ...more,
  });
  const at = await open(url, redirect_uri);
  return client.authorizationCodeGrant(config, at, { pkceCodeVerifier, expectedNonce, expectedState, idTokenExpected: true });
}

const web = settings.web;
let config, tokens;

await prove('discovery', async () => {
  config = await discover(web.client_id, web.client_secret);
  assert.equal(config.serverMetadata().issuer, settings.issuer);
  assert.equal(config.serverMetadata().supportsPKCE(), true);
  const oauth = await client.discovery(server, web.client_id, web.client_secret, undefined, { ...insecure, algorithm: 'oauth2' });
  assert.equal(oauth.serverMetadata().token_endpoint, config.serverMetadata().token_endpoint);
});

await prove('code with PKCE, client_secret_post by default', async () => {
  // Given only a secret, openid-client sends it in the body.
  tokens = await signIn(config, web.redirect_uri);
  const claims = tokens.claims();
  assert.equal(claims.sub, settings.sub);
  assert.equal(tokens.token_type, 'bearer');
  assert.ok(tokens.expiresIn() > 0);
  assert.ok(tokens.refresh_token);
});

await prove('the ID token signature, checked again by the published keys', async () => {
  const strict = await discover(web.client_id, web.client_secret);
  client.enableNonRepudiationChecks(strict);
  await signIn(strict, web.redirect_uri);
});

await prove('an access token verified by jose and the published keys', async () => {
  const keys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
  const { payload, protectedHeader } = await jose.jwtVerify(tokens.access_token, keys, { issuer: settings.issuer, typ: 'at+jwt', clockTolerance: 0 });
  assert.equal(payload.sub, settings.sub);
  assert.equal(payload.client_id, web.client_id);
  assert.equal(protectedHeader.alg, 'ES256');
});

await prove('userinfo', async () => {
  const info = await client.fetchUserInfo(config, tokens.access_token, settings.sub);
  assert.equal(info.email, 'ada@example.com');
  assert.equal(info.email_verified, true);
  assert.equal(info.name, 'Ada Lovelace');
  assert.equal(info.preferred_username, 'ada');
  assert.deepEqual(info.groups, ['staff']);
});

await prove('introspection', async () => {
  const about = await client.tokenIntrospection(config, tokens.access_token);
  assert.equal(about.active, true);
  assert.equal(about.sub, settings.sub);
  assert.equal(about.client_id, web.client_id);
  assert.equal(about.iss, settings.issuer);
  assert.ok(about.exp && about.iat && about.scope && about.aud && about.username);
  assert.equal((await client.tokenIntrospection(config, 'nonsense')).active, false);
});

await prove('refresh with rotation, and the same successor for a lost answer', async () => {
  const first = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.notEqual(first.refresh_token, tokens.refresh_token);
  assert.equal(first.claims().sub, settings.sub);
  const again = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal(again.refresh_token, first.refresh_token);
  const second = await client.refreshTokenGrant(config, first.refresh_token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  await client.fetchUserInfo(config, second.access_token, settings.sub);
  tokens = { ...second, claims: second.claims };
});

await prove('revocation ends the grant, and says 200 to what it does not know', async () => {
  const own = await signIn(config, web.redirect_uri);
  await client.tokenRevocation(config, own.refresh_token);
  await client.tokenRevocation(config, own.refresh_token);
  await assert.rejects(client.refreshTokenGrant(config, own.refresh_token), (e) => e.error === 'invalid_grant');
  assert.equal((await client.tokenIntrospection(config, own.access_token)).active, false);
  await assert.rejects(client.fetchUserInfo(config, own.access_token, settings.sub), (e) => e.status === 401);
});

await prove('client_secret_basic', async () => {
  const basic = settings.basic;
  await signIn(await discover(basic.client_id, undefined, client.ClientSecretBasic(basic.client_secret)), basic.redirect_uri);
});

await prove('a secret with every kind of character, form-encoded in client_secret_basic', async () => {
  const { client_id, client_secret } = settings.awkward;
  await client.clientCredentialsGrant(await discover(client_id, undefined, client.ClientSecretBasic(client_secret)));
});

await prove('client_secret_jwt', async () => {
  const jwt = settings.secret_jwt;
  await signIn(await discover(jwt.client_id, undefined, client.ClientSecretJwt(jwt.client_secret)), jwt.redirect_uri);
});

await prove('private_key_jwt', async () => {
  const { client_id, redirect_uri, key } = settings.private_key_jwt;
  const own = await discover(client_id, undefined, client.PrivateKeyJwt({ key: await jose.importJWK(key, key.alg), kid: key.kid }));
  const got = await signIn(own, redirect_uri);
  await client.refreshTokenGrant(own, got.refresh_token);
  assert.equal((await client.tokenIntrospection(own, got.access_token)).active, true);
});

await prove('a public client', async () => {
  const { client_id, redirect_uri } = settings.public;
  const own = await discover(client_id, undefined, client.None());
  const got = await signIn(own, redirect_uri);
  const next = await client.refreshTokenGrant(own, got.refresh_token);
  await client.tokenRevocation(own, next.refresh_token);
});

await prove('a client for ES256, PS256 or EdDSA ID tokens', async () => {
  for (const own of settings.algorithms) {
    const config = await discover(own.client_id, { client_secret: own.client_secret, id_token_signed_response_alg: own.alg });
    client.enableNonRepudiationChecks(config);
    await signIn(config, own.redirect_uri);
  }
});

await prove('client_credentials for an API', async () => {
  const own = await discover(settings.service.client_id, settings.service.client_secret, client.ClientSecretBasic(settings.service.client_secret));
  const got = await client.clientCredentialsGrant(own, { resource: settings.service.audience });
  const keys = jose.createRemoteJWKSet(new URL(own.serverMetadata().jwks_uri));
  const { payload } = await jose.jwtVerify(got.access_token, keys, { issuer: settings.issuer, audience: settings.service.audience, typ: 'at+jwt' });
  assert.ok(payload.sub);
  assert.equal(got.refresh_token, undefined);
});

await prove('a signed request object', async () => {
  const { client_id, redirect_uri, key } = settings.private_key_jwt;
  const own = await discover(client_id, undefined, client.PrivateKeyJwt({ key: await jose.importJWK(key, key.alg), kid: key.kid }));
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const url = await client.buildAuthorizationUrlWithJAR(own, {
    redirect_uri, scope: 'openid', state: expectedState, code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
  }, await jose.importJWK(key, key.alg));
  const got = await client.authorizationCodeGrant(own, await open(url, redirect_uri), { pkceCodeVerifier, expectedState, idTokenExpected: true });
  assert.equal(got.claims().sub, settings.sub);
});

await prove('form_post and fragment responses of the hybrid flow', async () => {
  const { client_id, client_secret, redirect_uri } = settings.hybrid;
  for (const response_mode of ['fragment', 'form_post']) {
    const own = await discover(client_id, client_secret);
    client.useCodeIdTokenResponseType(own);
    const expectedNonce = client.randomNonce();
    const expectedState = client.randomState();
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const url = client.buildAuthorizationUrl(own, {
      redirect_uri, scope: 'openid', response_mode, nonce: expectedNonce, state: expectedState,
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
    });
    let at = await open(url, redirect_uri);
    if (response_mode === 'form_post') {
      at = new Request(redirect_uri, { method: 'POST', body: new URLSearchParams(at.hash.slice(1)) });
    }
    const got = await client.authorizationCodeGrant(own, at, { expectedNonce, expectedState, pkceCodeVerifier, idTokenExpected: true });
    assert.equal(got.claims().sub, settings.sub);
  }
});

await prove('an error of the authorization endpoint', async () => {
  const url = client.buildAuthorizationUrl(config, { redirect_uri: web.redirect_uri, scope: 'openid', prompt: 'none', state: 'x',
    code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()), code_challenge_method: 'S256' });
  const at = await open(url, web.redirect_uri, true);
  await assert.rejects(client.authorizationCodeGrant(config, at, { expectedState: 'x' }), (e) => e.error === 'login_required');
});

await prove('dynamic registration with an initial access token', async () => {
  const redirect_uri = settings.dynamic_redirect_uri;
  const own = await client.dynamicClientRegistration(server, { client_name: 'Registered by itself', redirect_uris: [redirect_uri],
    grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'client_secret_post' }, undefined, { ...insecure, initialAccessToken: settings.initial_access_token });
  const made = own.clientMetadata();
  assert.equal(made.client_name, 'Registered by itself');
  assert.ok(made.client_secret);
  await signIn(own, redirect_uri);
  const read = await client.fetchProtectedResource(own, made.registration_access_token, new URL(made.registration_client_uri), 'GET');
  assert.equal((await read.json()).client_id, made.client_id);
  await assert.rejects(client.dynamicClientRegistration(server, { redirect_uris: [redirect_uri] }, undefined,
    { ...insecure, initialAccessToken: settings.initial_access_token }), (e) => e.status === 401);
});

await prove('RP-initiated logout', async () => {
  const own = await signIn(config, web.redirect_uri);
  const url = client.buildEndSessionUrl(config, { post_logout_redirect_uri: web.post_logout_redirect_uri, id_token_hint: own.id_token, state: 'bye' });
  const at = await open(url, web.post_logout_redirect_uri);
  assert.equal(at.searchParams.get('state'), 'bye');
  const silent = client.buildAuthorizationUrl(config, { redirect_uri: web.redirect_uri, scope: 'openid', prompt: 'none',
    code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()), code_challenge_method: 'S256' });
  assert.equal((await open(silent, web.redirect_uri)).searchParams.get('error'), 'login_required');
});

lines.return?.();
process.stdin.destroy();
