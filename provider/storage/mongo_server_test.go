package storage

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestServersThatOnlySpeakTheProtocolAreRefusedByWhatTheyAnnounce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		announced bson.D
		good      bool
	}{
		"MongoDB 8": {bson.D{{Key: "version", Value: "8.0.4"},
			{Key: "gitVersion", Value: "bc35ab4305d9920d9d0491c1c9ef9b72383d31f9"}}, true},
		"MongoDB 5":   {bson.D{{Key: "version", Value: "5.0.31"}}, true},
		"MongoDB 4.4": {bson.D{{Key: "version", Value: "4.4.29"}}, false},
		"FerretDB 1": {bson.D{{Key: "version", Value: "7.0.42"},
			{Key: "ferretdbVersion", Value: "v1.24.2"}}, false},
		"FerretDB 2": {bson.D{{Key: "version", Value: "7.0.77"},
			{Key: "ferretdb", Value: bson.D{{Key: "version", Value: "v2.1.0"}}}}, false},
		"DocumentDB": {bson.D{{Key: "version", Value: "7.0.0"}, {Key: "documentdb_versions",
			Value: bson.A{"0.102"}}}, false},
		"one that says nothing":   {bson.D{}, false},
		"a version that is none":  {bson.D{{Key: "version", Value: "next"}}, false},
		"a version of wrong type": {bson.D{{Key: "version", Value: 8}}, false},
	} {
		if err := supportedServer(c.announced); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
