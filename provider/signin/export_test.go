package signin

// What only the tests of this package see.

const MaxRequestObject = maxRequestObject
