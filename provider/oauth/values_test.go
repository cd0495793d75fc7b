package oauth

import (
	"slices"
	"testing"
)

func TestClaimsBeyondAScopeAreThoseItDoesNotAskFor(t *testing.T) {
	t.Parallel()
	got := ClaimsBeyond([]string{ScopeOpenID, ScopeEmail, "orders"}, []string{"email", "email_verified", "birthdate",
		"groups"})
	if !slices.Equal(got, []string{"birthdate", "groups"}) {
		t.Error(got)
	}
	if got := ClaimsBeyond([]string{ScopeProfile}, nil); len(got) != 0 {
		t.Error(got)
	}
}
