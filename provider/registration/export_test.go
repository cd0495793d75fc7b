package registration

// What only the tests of this package see.

const (
	IssuerRelation = issuerRelation
	LogoFor        = logoFor
	MaxLogo        = maxLogo
	NoLogoFor      = noLogoFor
)
