package people

// ACRPassword is the acr of a sign-in by password.
const ACRPassword = "urn:latchkey:acr:password"
