package templates

// FormPost sends the response to the application by a form that submits itself (OAuth 2.0 Form Post
// Response Mode §2).
type FormPost struct {
	Action  string
	Fields  [][2]string
	AppName string
}

func (FormPost) file() string { return "signin/form_post" }

// Policy lets the form lead to the application, and wherever the application leads on from there:
// browsers apply form-action to every redirect that follows. A script sends the form.
func (f FormPost) Policy() Policy {
	return Policy{Forms: []string{f.Action}, FormsElsewhere: true, Hops: true, Script: true}
}

func formPostSamples() []sample {
	return []sample{
		{"code", FormPost{
			Action: "https://notes.example/callback", AppName: "Field Notes",
			Fields: [][2]string{{"code", "abc"}, {"state", "\"><script>"}},
		}},
		{"empty", FormPost{Action: "https://notes.example/callback"}},
	}
}
