// A single-page application as the documentation of oidc-client-ts has it. The frame that renews silently comes back to it too.
const show = (id, text) => {
  const element = document.getElementById(id);
  element.textContent = text;
  element.dataset.text = text; // for whoever waits for it
};
const query = new URLSearchParams(location.search);
const here = location.origin;

(async () => {
  const settings = await (await fetch('/settings.json')).json();
  const base = {
    authority: settings.issuer,
    client_id: settings.client_id,
    redirect_uri: here + '/',
    silent_redirect_uri: here + '/',
    post_logout_redirect_uri: here + '/?bye',
    loadUserInfo: true,
    monitorSession: true,
    automaticSilentRenew: false,
    revokeTokensOnSignout: true,
    userStore: new oidc.WebStorageStateStore({ store: window.sessionStorage }),
  };
  const users = new oidc.UserManager({ ...base, scope: 'openid profile email offline_access' });
  // Without offline_access there is no refresh token, so that the library asks again in a frame.
  const framed = new oidc.UserManager({ ...base, scope: 'openid profile', monitorSession: false,
    userStore: new oidc.WebStorageStateStore({ store: new oidc.InMemoryWebStorage() }) });

  const showUser = (user) => {
    show('who', user ? user.profile.sub + ' ' + user.profile.email : '');
    show('state', user ? 'signed-in' : 'signed-out');
  };
  const attempt = (id, what) => document.getElementById(id).addEventListener('click', async () => {
    show('answer', '');
    show('error', '');
    try {
      show('answer', await what());
    } catch (err) {
      show('error', err.name + ': ' + err.message);
    }
  });
  users.events.addUserSignedOut(() => show('state', 'signed-out-elsewhere'));

  attempt('sign-in', () => users.signinRedirect());
  attempt('renew', async () => {
    const before = await users.getUser();
    const after = await users.signinSilent();
    return 'renewed ' + (before.refresh_token !== after.refresh_token) + ' ' + after.profile.sub;
  });
  attempt('renew-silently', async () => 'renewed ' + (await framed.signinSilent()).profile.sub);
  attempt('revoke', async () => {
    await users.revokeTokens();
    return 'revoked';
  });
  attempt('sign-out', () => users.signoutRedirect());

  if (window.parent !== window) {
    await users.signinSilentCallback();
    return;
  }
  if (query.has('code') || query.has('error')) {
    try {
      await users.signinRedirectCallback();
    } catch (err) {
      show('error', err.name + ': ' + err.message);
    }
    history.replaceState(null, '', '/');
  }
  if (query.has('bye')) {
    await users.removeUser();
    show('answer', 'bye');
  }
  showUser(await users.getUser());
})().catch((err) => show('error', String(err.stack)));
