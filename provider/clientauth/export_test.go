package clientauth

import (
	"context"
	"net/http"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
)

// What only the tests of this package see.

const (
	FailuresAllowed = failuresAllowed
	FloodAllowed    = floodAllowed
	FailuresWindow  = failuresWindow
	KeysCooldown    = keysCooldown
	KeysFreshFor    = keysFreshFor
	MaxClientID     = maxClientID
	MaxClientSet    = maxClientSet
	MaxJTI          = maxJTI
)

type FailedAuthentication = failedAuthentication

var (
	AssertionSubject = assertionSubject
	ParseBasic       = parseBasic
)

func (a *Authenticator) CheckAssertion(ctx context.Context, r *http.Request, client clients.Client,
	assertion string) error {
	return a.checkAssertion(ctx, r, client, assertion)
}

func (a *Authenticator) TooManyFailures(who string, now time.Time) bool {
	return a.failures.Wait(who, now) > 0
}

func (a *Authenticator) ClientSet(ctx context.Context, client clients.Client) (*keys.Set, error) {
	return a.clientSet(ctx, client, nil)
}
