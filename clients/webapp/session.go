package webapp

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	sessionAge  = 12 * time.Hour   // how long somebody stays signed in here
	attemptAge  = 10 * time.Minute // how long somebody may take to sign in at the provider
	askedAge    = time.Minute      // how long the way back from the provider may take
	maxSessions = 2000
	maxAttempts = 5000
	maxEndings  = 2000
	maxSeen     = 20000
)

// session is somebody signed in in one browser.
type session struct {
	id        string
	csrf      string
	startedAt time.Time

	idToken      string
	accessToken  string
	refreshToken string
	expiry       time.Time // of the access token

	issuer, subject, sid string // what a logout token names (Back-Channel Logout §2.4)

	who       person
	header    string // of the ID token, as indented JSON
	claims    string // of the ID token, as indented JSON
	algorithm string // that the signature was verified with
	keyID     string

	logoutState string  // of the sign-out that this session has gone to the provider with
	answer      *answer // of the API called last
	note        string  // what happened last, for the next page
}

// person is who is signed in, as the page shows them.
type person struct {
	Name, Username, Email, Subject string
	Groups, Roles                  []string
}

// attempt is a sign-in under way: what has to match when the browser comes back.
type attempt struct {
	browser   string // value of the attempt cookie
	nonce     string
	verifier  string
	visit     visit
	startedAt time.Time
}

// ending says how a session ended, until the person has been told.
type ending string

const (
	endedHere       ending = "here"        // by the button, this application only
	endedByProvider ending = "backchannel" // by a logout token
	endedOnReturn   ending = "return"      // back from the provider's sign-out before a logout token came
	endedRefused    ending = "refused"     // the provider takes the refresh token no more
)

// sessions keeps everything that must be known from one request to the next, in memory and bounded:
// when a table is full, its oldest entry makes room.
type sessions struct {
	now func() time.Time

	mu       sync.Mutex
	byID     map[string]session
	attempts map[string]attempt // by state
	endings  map[string]entry[ending]
	seen     map[string]entry[struct{}] // jti of logout tokens, until they expire
}

type entry[T any] struct {
	value T
	until time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: map[string]session{}, attempts: map[string]attempt{},
		endings: map[string]entry[ending]{}, seen: map[string]entry[struct{}]{}}
}

// begin stores a sign-in under way and returns its state parameter.
func (s *sessions) begin(a attempt) (state string) {
	state, a.startedAt = rand.Text(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[state] = a
	trim(s.attempts, maxAttempts, func(a attempt) time.Time { return a.startedAt })
	return state
}

// take returns the sign-in that the state belongs to, once, and only to the browser that began it.
func (s *sessions) take(state, browser string) (attempt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.attempts[state]
	if !ok || browser == "" || a.browser != browser {
		return attempt{}, false
	}
	delete(s.attempts, state)
	return a, s.now().Before(a.startedAt.Add(attemptAge))
}

// isSilent reports whether the state belongs to a visit that asks the person for nothing.
func (s *sessions) isSilent(state string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts[state].visit.silent
}

// start keeps a session under a new id and returns the id. What was under the old one is gone: an
// id that somebody slipped into the browser before never becomes a signed-in one.
func (s *sessions) start(old string, n session) (id string) {
	n.id, n.startedAt = rand.Text(), s.now()
	if n.csrf == "" {
		n.csrf = rand.Text()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, old)
	delete(s.endings, old)
	s.byID[n.id] = n
	trim(s.byID, maxSessions, func(s session) time.Time { return s.startedAt })
	return n.id
}

func (s *sessions) get(id string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.byID[id]
	if ok && !s.now().Before(n.startedAt.Add(sessionAge)) {
		delete(s.byID, id)
		return session{}, false
	}
	return n, ok
}

// update changes a session that still exists. One that was ended meanwhile stays ended.
func (s *sessions) update(id string, change func(*session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.byID[id]; ok {
		change(&n)
		s.byID[id] = n
	}
}

// end ends one session and remembers why.
func (s *sessions) end(id string, why ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(id, why)
}

func (s *sessions) endLocked(id string, why ending) {
	if _, ok := s.byID[id]; !ok {
		return
	}
	delete(s.byID, id)
	s.endings[id] = entry[ending]{why, s.now().Add(sessionAge)}
	trim(s.endings, maxEndings, func(e entry[ending]) time.Time { return e.until })
}

// howEnded returns how the session ended, if that has not been told yet.
func (s *sessions) howEnded(id string) ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endings[id].value
}

// ended tells once how the session ended.
func (s *sessions) ended(id string) (ending, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.endings[id]
	delete(s.endings, id)
	return e.value, ok
}

// logOut ends the sessions that a logout token names: the one of the provider's session sid, or
// every one of the subject when no sid is given (Back-Channel Logout §2.7). It returns how many
// there were, and false when the token's jti was seen before.
func (s *sessions) logOut(jti string, until time.Time, issuer, subject, sid string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for j, e := range s.seen {
		if e.until.Before(now) {
			delete(s.seen, j)
		}
	}
	if _, again := s.seen[jti]; again {
		return 0, false
	}
	s.seen[jti] = entry[struct{}]{until: until}
	trim(s.seen, maxSeen, func(e entry[struct{}]) time.Time { return e.until })
	n := 0
	for id, one := range s.byID {
		if one.issuer == issuer && (sid == "" || one.sid == sid) && (subject == "" || one.subject == subject) {
			s.endLocked(id, endedByProvider)
			n++
		}
	}
	return n, true
}

// trim removes the oldest entry of a table that has grown by one beyond its bound.
func trim[T any](table map[string]T, bound int, when func(T) time.Time) {
	if len(table) <= bound {
		return
	}
	var oldest string
	var at time.Time
	for k, v := range table {
		if t := when(v); oldest == "" || t.Before(at) {
			oldest, at = k, t
		}
	}
	delete(table, oldest)
}
