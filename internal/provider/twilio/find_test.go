package twilio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// listed is one row of Twilio's list.
func listed(sid, body string, at time.Time, change ...func(map[string]any)) map[string]any {
	row := map[string]any{
		"sid": sid, "body": body, "to": number, "from": "+14155550100", "direction": "outbound-api", "status": "sent",
		"date_created": at.Format(time.RFC1123Z), "date_sent": nil,
	}
	for _, c := range change {
		c(row)
	}
	return row
}

// list serves pages of Twilio's list.
func list(t *testing.T, pages ...[]map[string]any) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Get("To") != number || query.Get("DateSent>") != "" {
			t.Errorf("got query %v", query)
		}
		page, _ := strconv.Atoi(query.Get("Page"))
		body := map[string]any{"messages": pages[page], "page": page}
		if page+1 < len(pages) {
			body["next_page_uri"] = fmt.Sprintf("/2010-04-01/Accounts/AC1/Messages.json?PageSize=200&Page=%d&PageToken=PA%d", page+1, page)
		}
		if page > 0 && query.Get("PageToken") != fmt.Sprintf("PA%d", page-1) {
			t.Errorf("page %d with token %q", page, query.Get("PageToken"))
		}
		_ = json.NewEncoder(w).Encode(body)
	}
}

func TestFindReturnsWhatTwilioHasOfAMessage(t *testing.T) {
	t.Parallel()
	since := now
	later, before := now.Add(time.Minute), now.Add(-time.Minute)
	set := func(name string, value any) func(map[string]any) {
		return func(row map[string]any) { row[name] = value }
	}
	for name, tc := range map[string]struct {
		pages  [][]map[string]any
		change func(*Config)
		body   string
		want   []string
	}{
		"nothing":                             {pages: [][]map[string]any{{}}},
		"the message":                         {pages: [][]map[string]any{{listed("SM1", "Hello", later)}}, want: []string{"SM1"}},
		"in the very second":                  {pages: [][]map[string]any{{listed("SM1", "Hello", since)}}, want: []string{"SM1"}},
		"all that say the same, newest first": {pages: [][]map[string]any{{listed("SM2", "Hello", later), listed("SM1", "Hello", later)}}, want: []string{"SM2", "SM1"}},
		"not what was before":                 {pages: [][]map[string]any{{listed("SM1", "Hello", before)}}},
		"not another text":                    {pages: [][]map[string]any{{listed("SM1", "Hello you", later)}}},
		"not an answer from there":            {pages: [][]map[string]any{{listed("SM1", "Hello", later, set("direction", "inbound"))}}},
		"not another sender's":                {pages: [][]map[string]any{{listed("SM1", "Hello", later, set("from", "12345"))}}},
		"any sender's of a messaging service": {pages: [][]map[string]any{{listed("SM1", "Hello", later, set("from", nil))}}, change: func(c *Config) { c.From, c.MessagingServiceSID = "", "MG1" }, want: []string{"SM1"}},
		"what Twilio still queues":            {pages: [][]map[string]any{{listed("SM1", "Hello", later, set("status", "queued"))}}, want: []string{"SM1"}},
		"what smart encoding made of it":      {pages: [][]map[string]any{{listed("SM1", `It's "10" - ok`, later)}}, body: "It’s “10” – ok ", want: []string{"SM1"}},
		"what a trial account made of it":     {pages: [][]map[string]any{{listed("SM1", trialPrefix+"Hello", later)}}, want: []string{"SM1"}},
		"an emoji alone":                      {pages: [][]map[string]any{{listed("SM1", "😀", later), listed("SM2", "😎", later)}}, body: "😀", want: []string{"SM1"}},
		"on the second page":                  {pages: [][]map[string]any{{listed("SM2", "x", later)}, {listed("SM1", "Hello", later)}}, want: []string{"SM1"}},
		"beyond a page of an unordered list":  {pages: [][]map[string]any{{listed("SM3", "x", before), listed("SM2", "x", before)}, {listed("SM1", "Hello", later)}}, want: []string{"SM1"}},
		"newest first of an unordered list":   {pages: [][]map[string]any{{listed("SM1", "Hello", since), listed("SM2", "Hello", later)}}, want: []string{"SM2", "SM1"}},
		"with another server's date":          {pages: [][]map[string]any{{listed("SM1", "Hello", later, set("date_created", later.Format(time.RFC3339)))}}, want: []string{"SM1"}},
		"and no page after what is older":     {pages: [][]map[string]any{{listed("SM2", "Hello", later), listed("SM3", "x", before)}, {listed("SM1", "Hello", later)}}, want: []string{"SM2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := open(t, list(t, tc.pages...), tc.change)
			m := text()
			if tc.body != "" {
				m.Body = redact.Personal(tc.body)
			}
			receipts, err := client.Find(t.Context(), m, since)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, receipt := range receipts {
				got = append(got, receipt.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestALookupThatIsNotCompleteIsNoAnswer(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"messages":      []map[string]any{listed("SM1", "Hello", now.Add(time.Minute))},
			"next_page_uri": "/2010-04-01/Accounts/AC1/Messages.json?Page=1&PageToken=PA1",
		})
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    provider.Class
	}{
		"an error":                 {answer(500, "<html>"), provider.InDoubt},
		"refused credentials":      {refusal(401, 20003), provider.Config},
		"throttled":                {refusal(429, 20429), provider.Throttled},
		"not JSON":                 {answer(200, "<html>"), provider.InDoubt},
		"an error with status 200": {answer(200, `{"code":20500,"message":"Internal","status":500}`), provider.InDoubt},
		"JSON that is no list":     {answer(200, `{}`), provider.InDoubt},
		"no list but null":         {answer(200, `{"messages":null}`), provider.InDoubt},
		"a list without an end":    {endless, provider.InDoubt},
		"a row without a date":     {answer(200, `{"messages":[{"sid":"SM1"}]}`), provider.InDoubt},
		"a next page without page": {answer(200, `{"messages":[],"next_page_uri":"/x"}`), provider.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receipts, err := open(t, tc.handler, nil).Find(t.Context(), text(), now)
			check(t, err, tc.want)
			if receipts != nil {
				t.Errorf("got %v beside the error", receipts)
			}
		})
	}
}

// Twilio falters: of a list of many pages one would else nearly always be missing.
func TestAPageThatIsNotAnsweredIsAskedForAgain(t *testing.T) {
	t.Parallel()
	pages := list(t, []map[string]any{listed("SM2", "Hello", now.Add(2*time.Minute))}, []map[string]any{listed("SM1", "Hello", now.Add(time.Minute))})
	var asked atomic.Int32
	receipts, err := open(t, func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1:
			answer(500, "<html>")(w, r)
		case 3:
			panic(http.ErrAbortHandler)
		default:
			pages(w, r)
		}
	}, nil).Find(t.Context(), text(), now)
	if err != nil || len(receipts) != 2 || asked.Load() != 4 {
		t.Errorf("got %v and %v after %d requests, want both messages after 4", receipts, err, asked.Load())
	}
}
