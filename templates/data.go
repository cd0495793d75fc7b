package templates

// Data lets a person have what is kept about them, and leave. Its forms post csrf and
// action=export, or action=delete with username, to Action.
type Data struct {
	Frame
	MayDelete bool
	Problem   string // why nothing was deleted: one of the Delete constants
}

// What Data.Problem can say: keys of messages.
const (
	DeleteWrong     = "data.delete.wrong" // what was typed is not the username
	DeleteLastOwner = "data.delete.last"  // nobody else would be an owner
)

func (Data) file() string { return "account/data" }

// Policy is the least: the forms go to ourselves.
func (Data) Policy() Policy { return Policy{} }

// Deleted says that the account is gone.
type Deleted struct{}

func (Deleted) file() string { return "account/deleted" }

// Policy is the least: there is no form.
func (Deleted) Policy() Policy { return Policy{} }

func dataSamples() []sample {
	full := Data{Frame: sampleFrame(NavData, "/account/data"), MayDelete: true}
	wrong := full
	wrong.Problem = DeleteWrong
	return []sample{{"full", full}, {"wrong", wrong}, {"empty", Data{}}}
}

func deletedSamples() []sample { return []sample{{"done", Deleted{}}} }
