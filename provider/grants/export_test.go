package grants

// What only the tests of this package see.

var HalfHash = halfHash
