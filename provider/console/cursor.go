package console

import (
	"encoding/base64"
	"errors"
)

// sealCursor hides what a page begins after, and binds it to its list.
func (c *Console) sealCursor(after, list string) (string, error) {
	sealed, err := c.Sealer.Seal([]byte(after), cursorData(list))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// errCursor says that a cursor is none, or of another list.
var errCursor = errors.New("not a cursor of this list")

func (c *Console) openCursor(cursor, list string) (string, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return "", errCursor
	}
	plain, err := c.Sealer.Open(sealed, cursorData(list))
	if err != nil {
		return "", errCursor
	}
	return string(plain), nil
}
