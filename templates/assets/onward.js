// Goes where the button leads, once, in place of this page: the way back does not come through here again.
(function () {
  'use strict';
  var onward = document.getElementById('onward-continue');
  if (onward) {
    window.location.replace(onward.href);
  }
}());
