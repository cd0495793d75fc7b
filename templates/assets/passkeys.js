// Passkeys: hands what the server asks for to the browser, and the answer to a form. Everything else on the page works without.
(function () {
  'use strict';
  var box = document.getElementById('passkey');
  if (!box || !window.PublicKeyCredential || !navigator.credentials) {
    return;
  }
  var mode = box.dataset.mode, known = window.PublicKeyCredential, made = Date.now(), waiting = null, busy = false;
  var form = document.getElementById('passkey-form'), button = document.getElementById('passkey-use'), problem = document.getElementById('passkey-problem');
  var RENEW = 4 * 60 * 1000; // a challenge is good for five minutes

  function bytes(text) {
    var raw = atob(text.replace(/-/g, '+').replace(/_/g, '/')), out = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) {
      out[i] = raw.charCodeAt(i);
    }
    return out;
  }

  function text(buffer) {
    var raw = '', all = new Uint8Array(buffer);
    for (var i = 0; i < all.length; i++) {
      raw += String.fromCharCode(all[i]);
    }
    return btoa(raw).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  }

  // parsed is what navigator.credentials takes, from its JSON (WebAuthn §5.1.8, §5.1.9).
  function parsed(json) {
    var options = JSON.parse(json), key = options.publicKey;
    key.challenge = bytes(key.challenge);
    if (key.user) {
      key.user.id = bytes(key.user.id);
    }
    (key.allowCredentials || []).concat(key.excludeCredentials || []).forEach(function (c) { c.id = bytes(c.id); });
    return options;
  }

  // written is the answer as JSON (WebAuthn §5.1, toJSON).
  function written(credential) {
    var from = credential.response, response = { clientDataJSON: text(from.clientDataJSON) };
    if (from.attestationObject) {
      response.attestationObject = text(from.attestationObject);
      response.transports = from.getTransports ? from.getTransports() : [];
    } else {
      response.authenticatorData = text(from.authenticatorData);
      response.signature = text(from.signature);
      if (from.userHandle) {
        response.userHandle = text(from.userHandle);
      }
    }
    return JSON.stringify({
      id: credential.id, rawId: credential.id, type: credential.type, response: response, clientExtensionResults: {},
      authenticatorAttachment: credential.authenticatorAttachment || undefined
    });
  }

  function send(credential, state) {
    busy = true;
    form.elements.answer.value = written(credential);
    form.elements.state.value = state;
    var remember = document.getElementById('remember');
    if (remember && form.elements.remember) {
      form.elements.remember.disabled = !remember.checked;
    }
    HTMLFormElement.prototype.submit.call(form);
  }

  function say(name) {
    var old = problem.querySelector('[data-says]:not([hidden])');
    if (old) {
      old.hidden = true;
    }
    var now = problem.querySelector('[data-says="' + name + '"]');
    problem.hidden = !now;
    if (now) {
      now.hidden = false;
    }
  }

  // renewed makes sure that the challenge is young: the page is fetched again, and its challenge taken.
  function renewed() {
    if (Date.now() - made < RENEW) {
      return Promise.resolve();
    }
    return fetch(location.href, { credentials: 'same-origin', redirect: 'error' }).then(function (answer) { return answer.text(); }).then(function (page) {
      var there = new DOMParser().parseFromString(page, 'text/html').getElementById('passkey');
      if (!there || !there.dataset.options) {
        throw new Error('the page has moved on');
      }
      box.dataset.options = there.dataset.options;
      box.dataset.state = there.dataset.state;
      made = Date.now();
    }).catch(function () {
      location.reload();
      return new Promise(function () {});
    });
  }

  function stop() {
    if (waiting) {
      waiting.abort();
      waiting = null;
    }
  }

  // autofill waits for a passkey that is chosen where a username is typed, with a new challenge in time.
  function autofill() {
    if (busy) {
      return;
    }
    stop();
    renewed().then(function () {
      var options = parsed(box.dataset.options), state = box.dataset.state, mine = new AbortController();
      waiting = mine;
      options.mediation = 'conditional';
      options.signal = mine.signal;
      navigator.credentials.get(options).then(function (credential) { send(credential, state); }, function () {});
    });
  }

  function ask() {
    stop();
    say('');
    return renewed().then(function () {
      var options = parsed(box.dataset.options), state = box.dataset.state;
      delete options.mediation;
      return (mode === 'create' ? navigator.credentials.create(options) : navigator.credentials.get(options)).then(function (credential) { send(credential, state); });
    }).catch(function (why) {
      say(why && why.name === 'InvalidStateError' ? 'known' : 'none');
      if (mode === 'sign-in') {
        started();
      }
    });
  }

  function started() {
    if (known.isConditionalMediationAvailable) {
      known.isConditionalMediationAvailable().then(function (can) { if (can) { autofill(); } });
    }
  }

  // pass makes a passkey without asking, where the browser can.
  function pass() {
    var able = known.getClientCapabilities ? known.getClientCapabilities() : Promise.resolve({});
    able.then(function (can) {
      if (!can.conditionalCreate || !box.dataset.passingOptions) {
        return;
      }
      var options = parsed(box.dataset.passingOptions), mine = new AbortController();
      waiting = mine;
      options.mediation = 'conditional';
      options.signal = mine.signal;
      navigator.credentials.create(options).then(function (credential) { send(credential, box.dataset.passingState); }, function () {});
    });
  }

  // signal tells the browser which passkeys there are (WebAuthn §5.1.10).
  function signal() {
    var nothing = function () {};
    if (box.dataset.unknown && known.signalUnknownCredential) {
      known.signalUnknownCredential({ rpId: box.dataset.rpId, credentialId: box.dataset.unknown }).catch(nothing);
    }
    if (box.dataset.signal) {
      var s = JSON.parse(box.dataset.signal);
      if (known.signalAllAcceptedCredentials) {
        known.signalAllAcceptedCredentials({ rpId: s.rpId, userId: s.userId, allAcceptedCredentialIds: s.allAcceptedCredentialIds }).catch(nothing);
      }
      if (known.signalCurrentUserDetails) {
        known.signalCurrentUserDetails({ rpId: s.rpId, userId: s.userId, name: s.name, displayName: s.displayName }).catch(nothing);
      }
    }
  }

  signal();
  if (!box.dataset.options) {
    return;
  }
  box.hidden = false;
  button.addEventListener('click', ask);
  if (mode === 'sign-in') {
    started();
    setInterval(autofillAgain, RENEW);
    var offered = document.getElementById('passkeys');
    if (offered && known.isUserVerifyingPlatformAuthenticatorAvailable) {
      known.isUserVerifyingPlatformAuthenticatorAvailable().then(function (can) { if (can) { offered.value = 'yes'; } });
    }
  }
  if (mode === 'create') {
    pass();
  }

  function autofillAgain() {
    if (waiting) {
      autofill();
    }
  }
}());
