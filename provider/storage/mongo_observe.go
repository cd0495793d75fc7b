package storage

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/event"
)

// monitor tells the observer of the commands that the driver sends.
func (m *MongoDB) monitor() *event.CommandMonitor {
	tell := func(e event.CommandFinishedEvent, failed bool) {
		if o := m.observer.Load(); o != nil && o.Command != nil {
			o.Command(e.CommandName, e.Duration, failed)
		}
	}
	return &event.CommandMonitor{
		Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) { tell(e.CommandFinishedEvent, false) },
		Failed:    func(_ context.Context, e *event.CommandFailedEvent) { tell(e.CommandFinishedEvent, true) },
	}
}
