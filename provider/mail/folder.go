package mail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Folder writes each message into a file of its own in place of sending it: to try things out. The
// links in these files work.
type Folder struct {
	Dir  string // made when it is missing
	From Sender
}

// Send writes the message to ID.eml, readable by its owner alone. The file is complete when it has
// that name.
func (f *Folder) Send(_ context.Context, m Message) error {
	msg, err := format(f.From, m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for mails: %w", err)
	}
	file, err := os.CreateTemp(f.Dir, ".new-")
	if err != nil {
		return fmt.Errorf("write a mail: %w", err)
	}
	_, err = msg.WriteTo(file)
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(f.Dir, m.ID+".eml"))
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("write a mail: %w", err)
	}
	return nil
}
