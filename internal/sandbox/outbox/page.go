package outbox

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

//go:embed outbox.html
var page []byte

const mostShown = 1000

// Handler serves
//
//	/outbox                                 the page
//	/outbox.json?channel=sms&limit=100      what it shows, newest first
//	/_sandbox/<provider>                    the Behavior of each, GET and PUT
func Handler(sources ...Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /outbox", servePage)
	mux.HandleFunc("GET /outbox.json", func(w http.ResponseWriter, r *http.Request) { serveJSON(w, r, sources) })
	for _, source := range sources {
		provider, _ := source.Names()
		mux.Handle("/_sandbox/"+provider, source.Control())
	}
	return mux
}

// servePage serves the page, which may talk to this server and load nothing.
func servePage(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "+
		"img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	header.Set("Cache-Control", "no-cache")
	_, _ = w.Write(page)
}

// shown is what the page shows.
type shown struct {
	Totals    Totals     `json:"totals"` // of all providers
	Providers []provider `json:"providers"`
	Messages  []Message  `json:"messages"` // newest first
}

type provider struct {
	Name     string        `json:"name"`
	Channel  string        `json:"channel"`
	Totals   Totals        `json:"totals"`
	Behavior behavior.JSON `json:"behavior"`
}

func serveJSON(w http.ResponseWriter, r *http.Request, sources []Source) {
	w.Header().Set("Content-Type", "application/json")
	limit, err := wholeNumber(r.URL.Query().Get("limit"), 100)
	if err != nil || limit < 0 || limit > mostShown {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"limit: write a number from 0 to ` + strconv.Itoa(mostShown) + "\"}\n"))
		return
	}
	all := shown{Providers: []provider{}, Messages: []Message{}}
	wanted := r.URL.Query().Get("channel")
	for _, source := range sources {
		name, channel := source.Names()
		totals := source.Totals()
		all.Providers = append(all.Providers, provider{name, channel, totals, source.Control().Get().Wire()})
		all.Totals.Accepted += totals.Accepted
		all.Totals.Doubled += totals.Doubled
		all.Totals.Folded += totals.Folded
		all.Totals.Refused += totals.Refused
		if wanted == "" || wanted == channel {
			all.Messages = append(all.Messages, source.Recent(limit)...)
		}
	}
	slices.SortStableFunc(all.Messages, func(a, b Message) int { return b.Created.Compare(a.Created) })
	all.Messages = all.Messages[:min(limit, len(all.Messages))]
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(all) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
