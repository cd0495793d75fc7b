// The OP iframe (OIDC Session Management §3.2): an application asks "client_id session_state" and is told "unchanged", "changed" or "error".
// Old browsers run it: no crypto, no ES2015.
(function () {
  'use strict';

  var K = [], H = [];

  // The constants are the fractions of the cube and square roots of the first primes (FIPS 180-4 §4.2.2, §5.3.3).
  (function () {
    var n = 2, i, prime;
    while (K.length < 64) {
      prime = true;
      for (i = 2; i * i <= n; i++) {
        if (n % i === 0) { prime = false; break; }
      }
      if (prime) {
        if (H.length < 8) { H.push(fraction(Math.pow(n, 1 / 2))); }
        K.push(fraction(Math.pow(n, 1 / 3)));
      }
      n++;
    }
  }());

  function fraction(x) { return ((x - Math.floor(x)) * 4294967296) | 0; }
  function rotate(x, n) { return (x >>> n) | (x << (32 - n)); }

  function sha256(text) {
    var bytes = unescape(encodeURIComponent(text)), length = bytes.length, words = [], state = H.slice(0), w = [], i, j, a, t1, t2;
    for (i = 0; i < length; i++) { words[i >> 2] |= bytes.charCodeAt(i) << (24 - (i % 4) * 8); }
    words[length >> 2] |= 0x80 << (24 - (length % 4) * 8);
    var last = (((length + 8) >> 6) << 4) + 15;
    words[last - 1] = Math.floor(length / 0x20000000);
    words[last] = length << 3;
    for (i = 0; i <= last; i += 16) {
      a = state.slice(0);
      for (j = 0; j < 64; j++) {
        if (j < 16) {
          w[j] = words[i + j] | 0;
        } else {
          t1 = w[j - 15];
          t2 = w[j - 2];
          w[j] = (w[j - 16] + w[j - 7] + (rotate(t1, 7) ^ rotate(t1, 18) ^ (t1 >>> 3)) + (rotate(t2, 17) ^ rotate(t2, 19) ^ (t2 >>> 10))) | 0;
        }
        t1 = (a[7] + (rotate(a[4], 6) ^ rotate(a[4], 11) ^ rotate(a[4], 25)) + ((a[4] & a[5]) ^ (~a[4] & a[6])) + K[j] + w[j]) | 0;
        t2 = ((rotate(a[0], 2) ^ rotate(a[0], 13) ^ rotate(a[0], 22)) + ((a[0] & a[1]) ^ (a[0] & a[2]) ^ (a[1] & a[2]))) | 0;
        a = [(t1 + t2) | 0, a[0], a[1], a[2], (a[3] + t1) | 0, a[4], a[5], a[6]];
      }
      for (j = 0; j < 8; j++) { state[j] = (state[j] + a[j]) | 0; }
    }
    var hex = '';
    for (i = 0; i < 8; i++) {
      for (j = 28; j >= 0; j -= 4) { hex += ((state[i] >>> j) & 15).toString(16); }
    }
    return hex;
  }

  // The state of the browser's session: "" when the cookie is gone, which is a change for everybody who knew one.
  function browserState() {
    var name = document.body.getAttribute('data-cookie') + '=', all = document.cookie.split(';'), i, one;
    for (i = 0; i < all.length; i++) {
      one = all[i].replace(/^\s+|\s+$/g, '');
      if (one.indexOf(name) === 0) { return one.substring(name.length); }
    }
    return '';
  }

  function answer(data, origin) {
    var space, id, given, dot, salt;
    if (typeof data !== 'string') { return 'error'; }
    space = data.lastIndexOf(' ');
    id = data.substring(0, space);
    given = data.substring(space + 1);
    dot = given.indexOf('.');
    salt = given.substring(dot + 1);
    if (space < 1 || dot < 1 || !salt) { return 'error'; }
    return sha256(id + ' ' + origin + ' ' + browserState() + ' ' + salt) + '.' + salt === given ? 'unchanged' : 'changed';
  }

  window.addEventListener('message', function (e) {
    if (!e.source || !e.origin || e.origin === 'null') { return; }
    e.source.postMessage(answer(e.data, e.origin), e.origin);
  }, false);
}());
