package storagetest

import "testing"

func TestFirstHostOfAConnectionString(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"mongodb://a:27018,b:27019/latchkey?replicaSet=rs": "a:27018",
		"mongodb://user:p%40ss@a.example.com/":             "a.example.com:27017",
		"mongodb://[::1]:27018":                            "[::1]:27018",
		"mongodb://[::1]/?x=y":                             "[::1]:27017",
		"mongodb://a?directConnection=true":                "a:27017",
	} {
		if got := firstHost(uri); got != want {
			t.Errorf("%s: %s", uri, got)
		}
	}
}
