package web

import (
	_ "embed"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // so that zones are known where the system has none
)

//go:embed zones.txt
var zoneNames string

// Zones lists the names of time zones that a person chooses from, one for each country and time
// (IANA Time Zone Database, zone.tab).
var Zones = sync.OnceValue(func() []string { return strings.Fields(zoneNames) })

// Location is the time zone with this name, UTC for one that there is not.
func Location(zoneinfo string) *time.Location {
	// The name of a zone is a path for the system's database: LoadLocation refuses one that leads
	// out of it. "Local" is the server's own zone, which is nobody's choice.
	if zoneinfo == "" || zoneinfo == "Local" {
		return time.UTC
	}
	l, err := time.LoadLocation(zoneinfo)
	if err != nil {
		return time.UTC
	}
	return l
}

// KnownZone reports whether there is a time zone with this name.
func KnownZone(zoneinfo string) bool {
	_, err := time.LoadLocation(zoneinfo)
	return err == nil && zoneinfo != "" && zoneinfo != "Local" || slices.Contains(Zones(), zoneinfo)
}

// SetReader makes the page that answers the request suit a person: their language (RFC 5646), if it
// is one of ours, and their time zone. What the request asks for itself comes first.
func SetReader(r *http.Request, locale, zoneinfo string) {
	e := eventOf(r)
	if locale != "" && len(e.locales) == 0 {
		e.locales = []string{locale}
	}
	e.zone = Location(zoneinfo)
}
