package twilio

import (
	_ "embed"
	"net/http"
	"strconv"
	"time"
)

//go:embed outbox.html
var outboxPage []byte

// servePage serves the page, which may talk to this server and load nothing.
func servePage(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "+
		"img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	header.Set("Cache-Control", "no-cache")
	_, _ = w.Write(outboxPage)
}

// An outbox is what the page shows.
type outbox struct {
	Totals   Stats        `json:"totals"`
	Behavior behaviorJSON `json:"behavior"`
	Messages []delivery   `json:"messages"` // newest first
}

// A delivery is a message as its recipient would see it.
type delivery struct {
	SID      string    `json:"sid"`
	To       string    `json:"to"`
	From     string    `json:"from"`
	Body     string    `json:"body"`
	Status   string    `json:"status"`
	Segments int       `json:"segments"`
	Created  time.Time `json:"created"`
	Doubled  bool      `json:"doubled"`
}

func (s *Server) serveOutbox(w http.ResponseWriter, r *http.Request) {
	limit, err := wholeNumber(r.URL.Query().Get("limit"), 100)
	if err != nil || limit < 0 || limit > largestPageSize {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "limit: write a number from 0 to " + strconv.Itoa(largestPageSize)})
		return
	}
	messages, _ := s.memory.list(query{limit: limit})
	now := s.memory.now()
	shown := outbox{Totals: s.Stats(), Behavior: s.Behavior().wire(), Messages: make([]delivery, 0, len(messages))}
	for _, m := range messages {
		shown.Messages = append(shown.Messages, delivery{
			SID: m.sid, To: m.to, From: m.from, Body: m.body, Status: m.status(now), Segments: m.segments,
			Created: m.created.UTC(), Doubled: m.doubled,
		})
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, shown)
}
