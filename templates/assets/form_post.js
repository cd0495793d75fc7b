// Sends the form as soon as it is there. The method is the prototype's: a field called "submit" would hide the form's own.
(function () {
  'use strict';
  var form = document.getElementsByTagName('form')[0];
  if (form) {
    HTMLFormElement.prototype.submit.call(form);
  }
}());
