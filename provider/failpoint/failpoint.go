// Package failpoint names the places where a test kills the process: between the checks of a
// request, the use of what is good once, the making of what is handed out, its storing, and the
// answer. In a program At does nothing and costs nothing. Only a build with the tag failpoints,
// which only tests make, can be told to die.
package failpoint

// Point is a place in the life of a request.
type Point string

// Points, in the order in which a request passes them.
const (
	CodeChecked Point = "code.checked" // everything about the code was checked
	CodeBurnt   Point = "code.burnt"   // it is used, on the disk
	CodeMinted  Point = "code.minted"  // tokens are made, nobody has them yet

	RefreshChecked Point = "refresh.checked"
	RefreshBurnt   Point = "refresh.burnt" // the generation is replaced, on the disk
	RefreshMinted  Point = "refresh.minted"

	SignInChecked Point = "signin.checked" // the password is right
	SignInStored  Point = "signin.stored"  // the session is on the disk, its cookie not sent
	SignInBurnt   Point = "signin.burnt"   // the interaction is finished
	SignInGranted Point = "signin.granted" // the grant with the code's hash is on the disk
	SignInMinted  Point = "signin.minted"  // the redirect is made, not sent

	LogoutChecked Point = "logout.checked"
	LogoutNoted   Point = "logout.noted" // whom to tell is on the disk
	LogoutEnded   Point = "logout.ended" // the session has ended, on the disk
	LogoutRevoked Point = "logout.revoked"
)

// Points lists all of them.
var Points = []Point{
	CodeChecked, CodeBurnt, CodeMinted, RefreshChecked, RefreshBurnt, RefreshMinted,
	SignInChecked, SignInStored, SignInBurnt, SignInGranted, SignInMinted, LogoutChecked, LogoutNoted, LogoutEnded,
	LogoutRevoked,
}
