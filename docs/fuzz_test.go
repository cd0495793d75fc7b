package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fuzzed lists what is read from outside, and the fuzz target that reads it.
var fuzzed = map[string]string{
	"whole requests, to every route":             "provider FuzzServer",
	"what proxies say of the client":             "provider/web FuzzProxyHeaders",
	"cookies":                                    "provider/web FuzzCookies",
	"queries and bodies":                         "provider/oauth FuzzParameters",
	"sealed references to a sign-in":             "provider/signin FuzzReference",
	"request objects":                            "provider/signin FuzzRequestObject",
	"pushed authorization requests":              "provider/signin FuzzPushed",
	"references to pushed requests":              "provider/signin FuzzPushedReference",
	"DPoP headers":                               "provider/clientauth FuzzDPoP",
	"JWTs that bring their own key":              "keys FuzzVerifyProof",
	"client assertions":                          "provider/clientauth FuzzAssertion",
	"Authorization headers":                      "provider/clientauth FuzzParseBasic",
	"JWTs":                                       "keys FuzzVerify",
	"key sets, as jwks_uri leads to them":        "keys FuzzParseSet",
	"sealed values":                              "keys FuzzOpenSealed",
	"master keys":                                "keys FuzzParseMasterKey",
	"what sector_identifier_uri leads to":        "provider/admin FuzzSector",
	"what logo_uri leads to":                     "provider/registration FuzzLogoType",
	"redirect URIs":                              "provider/clients FuzzRedirect",
	"client metadata":                            "provider/clients FuzzMetadata",
	"addresses that we call":                     "provider/outbound FuzzCheck",
	"usernames":                                  "provider/people FuzzCanonicalUsername",
	"mail addresses":                             "provider/mail FuzzCheckAddress",
	"message files":                              "templates FuzzMessageFile",
	"certificate authorities in PEM":             "cmd/latchkey/config FuzzCAs",
	"the configuration":                          "cmd/latchkey/config FuzzConfiguration",
	"manifests that are read entry by entry":     "cmd/latchkey/config FuzzEntriesApart",
	"manifests":                                  "cmd/latchkey FuzzManifest",
	"references to the signed-out page":          "provider/account FuzzSignedOutReference",
	"front-channel addresses, as they are shown": "provider/account FuzzFrontchannelFrame",
}

// What is read from outside has a fuzz target, which make fuzz runs, and a corpus that is
// committed.
func TestWhatIsReadFromOutsideIsFuzzed(t *testing.T) {
	t.Parallel()
	for input, target := range fuzzed {
		folder, name, _ := strings.Cut(target, " ")
		tests, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
		if err != nil || len(tests) == 0 {
			t.Fatalf("%s: no tests in %s: %v", input, folder, err)
		}
		there := false
		for _, file := range tests {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			there = there || regexp.MustCompile(`(?m)^func `+name+`\(f \*testing\.F\)`).Match(text)
		}
		if !there {
			t.Errorf("%s: there is no %s in %s", input, name, folder)
		}
		if seeds, _ := filepath.Glob(filepath.Join("..", folder, "testdata", "fuzz", name, "*")); len(seeds) == 0 {
			t.Errorf("%s: %s has no seed in %s/testdata/fuzz", input, name, folder)
		}
	}
}
