package oauth

import "testing"

func TestLoopbackHostInEverySpelling(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "localhost.": true, "app.localhost": true, "App.Localhost.": true,
		"127.0.0.1": true, "127.9.9.9": true,
		"::1": true, "[::1]": true, "::ffff:127.0.0.1": true,
		"": false, ".": false, "localhost.example": false, "notlocalhost": false, "127.0.0.1.example": false,
		"10.0.0.1": false, "[::2]": false,
		"2130706433": false, "0x7f.1": false, "0.0.0.0": false, "::": false, "localhost..": false,
	} {
		if got := LoopbackHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
