package templates

// Account is where a person begins: what they can open, and what is worth a look.
type Account struct {
	Frame
	Apps   []LaunchApp
	Pager  Pager
	Advice []Advice
}

// LaunchApp is an application that the person may open.
type LaunchApp struct {
	App App
	URL string // where it begins
}

// Advice is something worth a look, and the page where it is done.
type Advice struct {
	Text string // one of the Advice constants
	Link string // one of the Nav constants
	URL  string
}

// What Advice.Text can say: keys of messages.
const (
	AdviceFactor = "overview.factor"
	AdviceEmail  = "overview.email"
)

func (Account) file() string { return "account/account" }

// Policy is the least: there is no form.
func (Account) Policy() Policy { return Policy{} }

func accountSamples() []sample {
	wiki := App{Name: "Wiki", HomeURI: "https://wiki.example/"}
	return []sample{
		{"full", Account{
			Frame: sampleFrame(NavOverview, "/account"),
			Apps:  []LaunchApp{{sampleApp, "https://notes.example/"}, {wiki, "https://wiki.example/start?iss=x"}},
			Pager: Pager{From: 1, To: 2, Total: 9, OlderURL: "/account?page=2"},
			Advice: []Advice{
				{AdviceFactor, NavMethods, "/account/methods"}, {AdviceEmail, NavProfile, "/account/profile"},
			},
		}},
		{"empty", Account{}},
	}
}
