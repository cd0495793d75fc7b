package templates

// Frame is what every page of a person's own has around it: who they are, and where else they can
// go. A page without Nav has no frame, and stands for itself.
type Frame struct {
	Person     Person
	Nav        []FrameLink
	SignOutURL string
	Action     string // where the forms of the page go
	CSRF       string
	Notice     string // what was just done: a key of a message
}

// FrameLink leads to one of the person's own pages.
type FrameLink struct {
	Name    string // what it is called: one of the Nav constants
	URL     string
	Current bool // it is the page that is shown
}

// What FrameLink.Name can say: keys of messages, which are the titles of the pages too.
const (
	NavOverview    = "overview.title"
	NavProfile     = "account.profile"
	NavAddress     = "address.title"
	NavMethods     = "methods.title"
	NavPassword    = "password.title"
	NavSessions    = "sessions.title"
	NavConnections = "account.apps"
	NavActivity    = "activity.title"
	NavLanguage    = "language.title"
	NavData        = "data.title"
)

// frame is how the layout finds it in the page that embeds it.
func (f Frame) frame() *Frame {
	if len(f.Nav) == 0 {
		return nil
	}
	return &f
}

// Pager leads through a list that is too long for one page. Empty addresses lead nowhere.
type Pager struct {
	From, To, Total int // which of the list are shown, counted from 1; Total 0: it is not known
	NewerURL        string
	OlderURL        string
}

// sampleFrame is the frame of a sample, with the named page as the one that is shown.
func sampleFrame(current, action string) Frame {
	f := Frame{Person: samplePerson, SignOutURL: "/logout", Action: action, CSRF: "c"}
	for _, link := range [][2]string{
		{NavOverview, "/account"}, {NavProfile, "/account/profile"}, {NavMethods, "/account/methods"},
		{NavPassword, "/account/password"},
		{NavSessions, "/account/sessions"}, {NavConnections, "/account/connections"},
		{NavActivity, "/account/activity"},
		{NavLanguage, "/account/language"}, {NavData, "/account/data"},
	} {
		f.Nav = append(f.Nav, FrameLink{link[0], link[1], link[0] == current})
	}
	return f
}
