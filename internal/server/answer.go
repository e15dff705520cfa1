package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// problem is one entry of an error answer. Index is nil where it says nothing.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Index   *int   `json:"index,omitempty"`
	Member  string `json:"member,omitempty"`
}

// failure is an error answer.
type failure struct {
	Errors []problem `json:"errors"`
	// Accepted is how many leading events of the request were taken, nil where the question does not arise.
	Accepted *int `json:"accepted,omitempty"`
}

func refuse(w http.ResponseWriter, status int, problems ...problem) {
	answer(w, status, failure{Errors: problems})
}

func answer(w http.ResponseWriter, status int, body any) {
	// The bodies are structs of texts and numbers: they can always be written.
	text, _ := json.Marshal(body)
	soon(w)
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that is gone does not read its answer.
	_, _ = w.Write(append(text, '\n'))
}

func plain(w http.ResponseWriter, status int, text string) {
	soon(w)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// As above.
	_, _ = io.WriteString(w, text)
}
