package twilio

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPageSize = 50
	largestPageSize = 1000
	tokenPrefix     = "PA" // of a PageToken; the sid of the last message seen follows
)

func (s *Server) fetch(r *http.Request) (any, *refusal) {
	sid, isJSON := strings.CutSuffix(r.PathValue("file"), ".json")
	m, ok := s.memory.find(r.PathValue("account"), sid)
	if !isJSON || !ok {
		return notFound(r)
	}
	return m.resource(s.memory.now()), nil
}

// A page is one answer of a list.
type page struct {
	FirstPageURI    string      `json:"first_page_uri"`
	NextPageURI     *string     `json:"next_page_uri"`
	PreviousPageURI *string     `json:"previous_page_uri"`
	URI             string      `json:"uri"`
	Page            int         `json:"page"`
	PageSize        int         `json:"page_size"`
	Start           int         `json:"start"`
	End             int         `json:"end"`
	Messages        []*resource `json:"messages"`
}

// list answers newest first. A page goes on where the last one ended even if
// messages arrived between, since the token names a message and no offset.
func (s *Server) list(r *http.Request) (any, *refusal) {
	parameters := r.URL.Query()
	number, size, refused := paging(parameters)
	if refused != nil {
		return nil, refused
	}
	q := query{account: r.PathValue("account"), from: parameters.Get("From"), limit: size}
	if to := parameters.Get("To"); to != "" {
		q.to = plainNumber(to)
	}
	var ok bool
	if q.sentFrom, q.sentTo, ok = sentBetween(parameters); !ok {
		return nil, refuse(codeInvalidParameter)
	}
	if token := parameters.Get("PageToken"); token != "" {
		q.olderThan = strings.TrimPrefix(token, tokenPrefix)
	} else {
		q.skip = number * size
	}
	messages, more := s.memory.list(q)
	return newPage(r.URL, number, size, messages, more, s.memory.now()), nil
}

func newPage(at *url.URL, number, size int, messages []*message, more bool, now time.Time) *page {
	p := &page{
		Page: number, PageSize: size, Start: number * size, End: number*size + max(0, len(messages)-1),
		URI: at.RequestURI(), FirstPageURI: pageURI(at, 0, size, ""), Messages: make([]*resource, 0, len(messages)),
	}
	for _, m := range messages {
		p.Messages = append(p.Messages, m.resource(now))
	}
	if more {
		next := pageURI(at, number+1, size, tokenPrefix+messages[len(messages)-1].sid)
		p.NextPageURI = &next
	}
	if number > 0 {
		previous := pageURI(at, number-1, size, "")
		p.PreviousPageURI = &previous
	}
	return p
}

// pageURI is the same list at another page.
func pageURI(at *url.URL, number, size int, token string) string {
	parameters := at.Query()
	parameters.Set("Page", strconv.Itoa(number))
	parameters.Set("PageSize", strconv.Itoa(size))
	parameters.Del("PageToken")
	if token != "" {
		parameters.Set("PageToken", token)
	}
	return at.EscapedPath() + "?" + parameters.Encode()
}

func paging(parameters url.Values) (number, size int, refused *refusal) {
	size, err := wholeNumber(parameters.Get("PageSize"), defaultPageSize)
	if err != nil || size < 1 || size > largestPageSize {
		return 0, 0, refuse(codePageTooLarge)
	}
	number, err = wholeNumber(parameters.Get("Page"), 0)
	if err != nil || number < 0 || number > 1<<20 {
		return 0, 0, refuse(codeInvalidParameter)
	}
	return number, size, nil
}

func wholeNumber(text string, absent int) (int, error) {
	if text == "" {
		return absent, nil
	}
	return strconv.Atoi(text)
}

// sentBetween reads DateSent, DateSent> and DateSent<. Twilio compares days,
// in GMT, and means "at or after" and "at or before"; a time of day is allowed
// and not looked at. from is the first moment, until the first one after.
func sentBetween(parameters url.Values) (from, until time.Time, ok bool) {
	const day = 24 * time.Hour
	for _, bound := range []struct {
		name         string
		lower, upper bool
	}{{"DateSent>", true, false}, {"DateSent<", false, true}, {"DateSent", true, true}} {
		text := parameters.Get(bound.name)
		if text == "" {
			continue
		}
		at, err := parseDay(text)
		if err != nil {
			return from, until, false
		}
		if bound.lower {
			from = at
		}
		if bound.upper {
			until = at.Add(day)
		}
	}
	return from, until, true
}

func parseDay(text string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	return at.UTC().Truncate(24 * time.Hour), err
}

// ownAccount is the resource of an account. Every account is there, and active.
func ownAccount(r *http.Request) (any, *refusal) {
	sid, isJSON := strings.CutSuffix(r.PathValue("file"), ".json")
	if !isJSON {
		return notFound(r)
	}
	return map[string]string{"sid": sid, "status": "active", "type": "Full", "friendly_name": "Sandbox"}, nil
}
