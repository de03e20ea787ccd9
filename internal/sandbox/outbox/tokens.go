package outbox

import (
	"net/http"
	"sync"
)

// DeadTokens are push tokens whose app is gone.
type DeadTokens struct{ tokens sync.Map }

// Kill has the token answered as one whose app is gone.
func (d *DeadTokens) Kill(token string) { d.tokens.Store(token, struct{}{}) }

// Revive ends Kill.
func (d *DeadTokens) Revive(token string) { d.tokens.Delete(token) }

// Dead tells whether the token was killed.
func (d *DeadTokens) Dead(token string) bool {
	_, dead := d.tokens.Load(token)
	return dead
}

// ServeHTTP is PUT and DELETE of …/{token}.
func (d *DeadTokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut:
		d.Kill(r.PathValue("token"))
	case http.MethodDelete:
		d.Revive(r.PathValue("token"))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
