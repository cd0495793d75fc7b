package admin

import "latchkey/provider/storage"

// MayCase is a question for may.
type MayCase struct {
	Kind, Role string
	Verb       string
	Target     string // role of the user whom it concerns
	Gives      string
	Own        bool // the actor is in an owner group of what it concerns
	Unseen     bool
}

// May asks may.
func May(c MayCase) bool {
	h := holder{Actor: Actor{Kind: c.Kind}, role: c.Role, groups: []string{"team"}}
	o := object{EventParty: storage.EventParty{Kind: "user"}, seen: !c.Unseen, role: c.Target, gives: c.Gives,
		ownerGroups: []string{"others"}}
	if c.Own {
		o.ownerGroups = append(o.ownerGroups, "team")
	}
	return may(h, c.Verb, o) == nil
}
