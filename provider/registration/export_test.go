package registration

// What only the tests of this package see.

var Completed = completed

const (
	IssuerRelation = issuerRelation
	LogoFor        = logoFor
	MaxLogo        = maxLogo
	NoLogoFor      = noLogoFor
)
