package providertest

import (
	"context"
	"time"

	"latchkey/provider"
	"latchkey/provider/mail"
	"latchkey/provider/registration"
	"latchkey/provider/signup"
)

// Everything switches on whatever brings endpoints of its own: the table of endpoints then has every
// row. Mails lead nowhere.
func Everything(c *provider.Config) {
	c.Registration = registration.Open
	c.Mail = nowhere{}
	c.LostWait = 24 * time.Hour
	c.SignUp = signup.Open
	c.Passkeys.RelatedOrigins = []string{"https://other.example"}
}

// nowhere takes every mail and keeps none.
type nowhere struct{}

func (nowhere) Send(context.Context, mail.Message) error { return nil }
