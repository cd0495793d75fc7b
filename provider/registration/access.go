package registration

// Mode says who may use the registration endpoint (RFC 7591 §3).
type Mode string

const (
	Closed Mode = "closed" // the endpoint does not exist
	Token  Mode = "token"  // with an initial access token
	Open   Mode = "open"   // anybody, within RegistrationsPerHour
)
