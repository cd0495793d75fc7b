package keys_test

import (
	"strings"
	"testing"

	"latchkey/keys"
)

// The proof that RFC 9449 §4.1 prints, and the thumbprint of its key in §6.1.
const (
	printedProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklD" +
		"UkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs" +
		"ImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV" +
		"4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiO" +
		"SsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	printedThumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func TestTheProofThatRFC9449Prints(t *testing.T) {
	t.Parallel()
	payload, header, jkt, err := keys.VerifyProof(printedProof)
	if err != nil || jkt != printedThumbprint || !header.IsType("dpop+jwt") ||
		!strings.Contains(string(payload), `"htu":"https://server.example.com/token"`) {
		t.Errorf("%s %v %s %v", payload, header, jkt, err)
	}
	for _, bad := range []string{"", printedProof + "A", printedProof[:len(printedProof)-1],
		strings.Replace(printedProof, ".eyJqdGk", ".eyJqdGl", 1)} {
		if _, _, jkt, err := keys.VerifyProof(bad); err == nil || jkt != "" {
			t.Errorf("%.30q is taken for a proof by %q", bad, jkt)
		}
	}
}

// FuzzVerifyProof reads proofs, which bring their own key. None but the printed one verifies as it.
func FuzzVerifyProof(f *testing.F) {
	f.Add(printedProof)
	f.Fuzz(func(t *testing.T, jws string) {
		payload, _, jkt, err := keys.VerifyProof(jws)
		if (err == nil) != (jkt != "") {
			t.Errorf("thumbprint %q with error %v", jkt, err)
		}
		if jkt == printedThumbprint && jws != printedProof {
			t.Errorf("a second spelling, or another payload %q", payload)
		}
	})
}
