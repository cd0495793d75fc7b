package storage

// Confirmation names the key that whoever presents a token has to have (RFC 7800 §3.1). The zero
// value is that of a bearer token.
type Confirmation struct {
	// thumbprint of the key of DPoP proofs (RFC 9449 §6.1)
	JKT string `bson:"jkt,omitempty" json:"jkt,omitempty"`
}

// IsZero reports whether no key is named. BSON and JSON leave it out then.
func (c Confirmation) IsZero() bool { return c == Confirmation{} }

// TokenType is the token_type of tokens that are bound so (RFC 6749 §7.1, RFC 9449 §5).
func (c Confirmation) TokenType() string {
	if c.JKT != "" {
		return "DPoP"
	}
	return "Bearer"
}
