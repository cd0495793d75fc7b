package provider

import "time"

// metrics counts what the provider does.
type metrics struct{}

func newMetrics() *metrics { return &metrics{} }

func (m *metrics) observe(route, method string, status int, took time.Duration) {}

// login counts a sign-in by its method (password) and result (success, failure, throttled).
func (m *metrics) login(method, result string) {}
