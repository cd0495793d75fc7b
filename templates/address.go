package templates

// Address lets a person confirm their e-mail address, or use another. Its forms post csrf, and
// email in the second, to Action.
type Address struct {
	Frame
	Email    string // the one that they have; "" for none
	Verified bool
	MayAsk   bool   // another one may be used
	Typed    string // what was typed before
	Bad      bool   // it is no address
}

// What Address.Notice can say: keys of messages.
const (
	NoticeAddressSent = "address.sent"
	NoticeAddressDone = "address.done"
)

func (Address) file() string { return "account/address" }

// Policy is the least: the forms go to ourselves.
func (Address) Policy() Policy { return Policy{} }

func addressSamples() []sample {
	full := Address{Frame: sampleFrame(NavAddress, "/account/address"), Email: "ada@example.org", MayAsk: true}
	sent, bad, verified := full, full, full
	sent.Notice = NoticeAddressSent
	bad.Typed, bad.Bad = "ada@", true
	verified.Verified, verified.MayAsk = true, false
	return []sample{{"full", full}, {"sent", sent}, {"bad", bad}, {"verified", verified}, {"empty", Address{}}}
}
