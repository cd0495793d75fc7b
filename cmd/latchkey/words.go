package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"latchkey/provider/admin"
	"latchkey/provider/storage"
)

// inWords gives the errors of administration the words of the command line.
func inWords(err error) error {
	var faults admin.Faults
	if errors.As(err, &faults) {
		var lines []string
		for _, f := range faults {
			lines = append(lines, faultInWords(f))
		}
		return worded{strings.Join(lines, "\n"), err}
	}
	var object *admin.ObjectError
	if !errors.As(err, &object) {
		return err
	}
	name := object.Name
	switch {
	case errors.Is(err, admin.ErrNotFound):
		switch object.Kind {
		case "user":
			return inOtherWords(err, "there is no person with the username %q", name)
		case "client":
			return inOtherWords(err, "there is no application with the client_id %q", name)
		}
		return inOtherWords(err, "there is no %s %q", object.Kind, name)
	case errors.Is(err, admin.ErrTaken):
		switch object.Kind {
		case "user":
			return inOtherWords(err, "the username %q is taken", name)
		case "client":
			return inOtherWords(err, "the client_id %q is taken", name)
		}
		return inOtherWords(err, "there is a %s %q already", object.Kind, name)
	case errors.Is(err, admin.ErrConflict):
		return inOtherWords(err, "%s was changed by another administrator at the same time; try again", name)
	case errors.Is(err, admin.ErrForbidden):
		return inOtherWords(err, "you may not do this to the %s %q", object.Kind, name)
	case errors.Is(err, admin.ErrLastOwner):
		return inOtherWords(err, "%[1]s is the last owner; make somebody else one first: latchkey user update USERNAME --role owner", name)
	case errors.Is(err, admin.ErrManaged):
		return inOtherWords(err, "the %s %s is kept by the file %s; change it there, and apply that", object.Kind, name,
			object.By)
	case errors.Is(err, admin.ErrInUse):
		return inOtherWords(err, "the application %[1]s names the group %[2]s; change that first: latchkey client update %[1]s --group … or --owner-group …", object.By, name)
	}
	return err
}

// faultInWords is one line about what is wrong with a field.
func faultInWords(f admin.Fault) string {
	field := strings.TrimPrefix(f.Field, "claims.")
	if f.Reason == admin.Unknown && (field == "groups" || field == "allowed_groups" || field == "owner_groups") {
		return fmt.Sprintf("there is no group %q; make it with: latchkey group create %s", f.Value, f.Value)
	}
	text := f.Text
	if f.Value != "" {
		field = strings.TrimSpace(fmt.Sprintf("%s %q", field, f.Value))
	}
	if first, _ := utf8.DecodeRuneInString(text); unicode.IsUpper(first) { // a sentence
		return field + ": " + text
	}
	return strings.TrimSpace(field + " " + text)
}

// actor is who runs the command, for the audit log: the operating system's user, on this machine.
func (sh *shell) actor() admin.Actor {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return admin.Actor{Kind: storage.ActorCommand, Name: name}
}

// changedFlags are the flags that were given.
func changedFlags(cmd *cobra.Command) (names []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
