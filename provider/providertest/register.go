package providertest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// Json sends JSON to an address; body may be text that is no JSON at all.
func (w *World) Json(method, target, token string, body any) AnswerJSON {
	w.t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(raw)
	}
	r, err := http.NewRequest(method, target, strings.NewReader(text))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.Send(r)
}

func (w *World) Register(body any) AnswerJSON {
	w.t.Helper()
	return w.Json("POST", w.Issuer+"/register", "", body)
}

// Registered registers an application and returns the answer with the stored client.
func (w *World) Registered(body any) (AnswerJSON, clients.Client) {
	w.t.Helper()
	a := w.Register(body)
	if a.StatusCode != http.StatusCreated {
		w.t.Fatalf("%d %v", a.StatusCode, a.JSON)
	}
	c, err := w.Store.Client(context.Background(), a.Str("client_id"))
	if err != nil {
		w.t.Fatal(err)
	}
	return a, c
}

func (w *World) CountClients() int {
	w.t.Helper()
	list, err := w.Store.Clients(context.Background(), "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func (w *World) InitialToken() string {
	w.t.Helper()
	value, _, err := w.Admin.CreateInitialAccessToken(context.Background(), admin.Actor{Kind: storage.ActorSystem},
		time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}
