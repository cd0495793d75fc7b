package account

import "net/http"

// What only the tests of this package see.

const SignedOutTTL = signedOutTTL

type SignedOut = signedOut

func (p *Pages) OpenSignedOut(r *http.Request, sealed string) (SignedOut, bool) {
	return p.openSignedOut(r, sealed)
}

func (p *Pages) SealSignedOut(s SignedOut) string { return p.sealSignedOut(s) }
