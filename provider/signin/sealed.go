package signin

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// What nobody has signed in for costs no storage: an interaction travels in its own address,
// sealed, until a user's first answer is recorded. Only then is it stored, by the identifier that
// is inside. One that is too large for an address is stored at once, and of those there are few,
// and limits.

const (
	sealedPrefix = "s."
	maxSealed    = 6 << 10  // characters of a reference; proxies take header lines of 8 KiB
	maxOpened    = 64 << 10 // bytes inside

	// Interactions that are stored at once, per window: those that are too large, and those that
	// came by POST, which belong to no browser yet.
	storedWindow     = 10 * time.Minute
	largePerNetwork  = 30
	largeMost        = 150 // of all networks, per instance
	postedPerNetwork = 100
	postedMost       = 1000
	storedPerSite    = 3 // times what one network may
)

// interaction is an interaction with the reference by which addresses name it. Its Version is 0
// while it is not stored.
type interaction struct {
	storage.Interaction
	ref string
}

// seal writes an interaction as a reference; false if it is too large for an address.
func (p *Pages) seal(i storage.Interaction) (ref string, ok bool, err error) {
	plain, err := json.Marshal(i)
	if err != nil {
		return "", false, err
	}
	return p.sealed(plain, "interaction", maxSealed)
}

// unseal reads a reference that seal made; false for anything else.
func (p *Pages) unseal(ref string) (i storage.Interaction, ok bool) {
	plain, ok := p.unsealed(ref, "interaction", maxSealed)
	if !ok || json.Unmarshal(plain, &i) != nil || i.ID == "" || i.Version != 0 {
		return storage.Interaction{}, false
	}
	return i, true
}

// sealed writes plain as a reference of at most most characters; false if it is larger.
func (p *Pages) sealed(plain []byte, purpose string, most int) (ref string, ok bool, err error) {
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err == nil {
		_, err = z.Write(plain)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return "", false, err
	}
	if base64.RawURLEncoding.EncodedLen(packed.Len())+100 > most {
		return "", false, nil
	}
	sealed, err := p.Sealer.Seal(packed.Bytes(), purpose)
	if err != nil {
		return "", false, err
	}
	return sealedPrefix + base64.RawURLEncoding.EncodeToString(sealed), true, nil
}

// unsealed reads a reference that sealed made for the same purpose; false for anything else.
func (p *Pages) unsealed(ref, purpose string, most int) (plain []byte, ok bool) {
	text, ok := strings.CutPrefix(ref, sealedPrefix)
	if !ok || len(ref) > most {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false
	}
	packed, err := p.Sealer.Open(sealed, purpose)
	if err != nil {
		return nil, false
	}
	plain, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxOpened))
	return plain, err == nil
}

// storedLimits bounds how many interactions are stored that nobody has signed in for, in this
// process.
type storedLimits struct {
	mu     sync.Mutex
	since  time.Time
	all    int
	counts map[string]int
}

// take counts one more from an address, and reports how long to wait if there were too many.
func (l *storedLimits) take(address string, perNetwork, most int, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil || now.Sub(l.since) >= storedWindow || now.Before(l.since) {
		l.since, l.all, l.counts = now, 0, map[string]int{}
	}
	network, site := "network "+people.Network(address), "site "+people.Site(address)
	if l.all >= most || l.counts[network] >= perNetwork || l.counts[site] >= storedPerSite*perNetwork {
		return l.since.Add(storedWindow).Sub(now)
	}
	l.all++
	l.counts[network]++
	l.counts[site]++
	return 0
}

// newInteraction begins an interaction that knows its browser.
func (p *Pages) newInteraction(r *http.Request, i storage.Interaction) (interaction, error) {
	i = p.stamp(i)
	ref, ok, err := p.seal(i)
	if err != nil || ok {
		return interaction{i, ref}, err
	}
	return p.storeInteraction(r, i, largePerNetwork, largeMost)
}

func (p *Pages) stamp(i storage.Interaction) storage.Interaction {
	i.ID, i.CreatedAt = storage.Random(), p.Web.Now()
	i.ExpiresAt = i.CreatedAt.Add(p.InteractionTTL)
	return i
}

// storeInteraction begins an interaction that has to be stored, within these limits.
func (p *Pages) storeInteraction(r *http.Request, i storage.Interaction, perNetwork, most int) (interaction, error) {
	i = p.stamp(i)
	if wait := p.stored.take(p.Web.ClientAddress(r), perNetwork, most, i.CreatedAt); wait > 0 {
		return interaction{}, web.RefusePage(http.StatusTooManyRequests, templates.TooMany).RetryAfter(wait)
	}
	if err := p.Store.CreateInteraction(r.Context(), i); err != nil {
		return interaction{}, fmt.Errorf("store interaction: %w", err)
	}
	i.Version = 1
	return interaction{i, i.ID}, nil
}
