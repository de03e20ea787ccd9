package behavior

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Shares are by error code: the share of sends, from 0 to 1, that it answers.
type Shares map[string]float64

// UnmarshalJSON replaces all shares: codes that data does not name are gone.
func (s *Shares) UnmarshalJSON(data []byte) error {
	*s = nil
	return json.Unmarshal(data, (*map[string]float64)(s))
}

// Check names every code that provider does not have, and every share that is
// none. Shares add up to 1 at most.
func (s Shares) Check(of Provider) error {
	var errs []error
	for _, code := range slices.Sorted(maps.Keys(s)) {
		errs = append(errs, checkShare("errors."+code, s[code]))
		if !slices.Contains(of.Codes, code) {
			errs = append(errs, fmt.Errorf("errors: %s has no error code %q; write one of %s", of.Name, code, strings.Join(slices.Sorted(slices.Values(of.Codes)), ", ")))
		}
	}
	return errors.Join(append(errs, checkSum("errors", s.sum()))...)
}

func (s Shares) sum() (sum float64) {
	for _, share := range s {
		sum += share
	}
	return sum
}

// Pick returns the code that a number drawn from 0 to 1 falls on, or none.
func (s Shares) Pick(drawn float64) string {
	for _, code := range slices.Sorted(maps.Keys(s)) {
		if drawn -= s[code]; drawn < 0 {
			return code
		}
	}
	return ""
}

// JSON is a Behavior on the wire; durations are Go durations.
type JSON struct {
	Latency        string  `json:"latency"`
	Jitter         string  `json:"jitter"`
	ErrorRate      float64 `json:"errorRate"`
	Errors         Shares  `json:"errors"`
	HTML           float64 `json:"html"`
	LostAnswerRate float64 `json:"lostAnswerRate"`
	RateLimit      float64 `json:"rateLimit"`
}

// Wire is b as JSON.
func (b Behavior) Wire() JSON {
	if b.Errors == nil {
		b.Errors = Shares{}
	}
	return JSON{b.Latency.String(), b.Jitter.String(), b.ErrorRate, b.Errors, b.HTML, b.LostAnswerRate, b.RateLimit}
}

// behavior checks every field, and names all that are wrong.
func (j JSON) behavior(of Provider) (Behavior, error) {
	latency, latencyErr := ParseWait("latency", j.Latency)
	jitter, jitterErr := ParseWait("jitter", j.Jitter)
	errs := []error{
		latencyErr, jitterErr, checkShare("errorRate", j.ErrorRate), checkShare("html", j.HTML),
		checkShare("lostAnswerRate", j.LostAnswerRate), j.Errors.Check(of),
		checkSum("errorRate, html and errors", j.ErrorRate+j.HTML+j.Errors.sum()),
	}
	if j.RateLimit < 0 || j.RateLimit > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("rateLimit: %v is no rate; write sends per second, or 0 for no limit", j.RateLimit))
	}
	if j.HTML > 0 && !of.HTTP {
		errs = append(errs, fmt.Errorf("html: %s does not speak HTTP; use errors", of.Name))
	}
	maps.DeleteFunc(j.Errors, func(_ string, share float64) bool { return share == 0 })
	return Behavior{
		Latency: latency, Jitter: jitter, ErrorRate: j.ErrorRate, Errors: j.Errors, HTML: j.HTML,
		LostAnswerRate: j.LostAnswerRate, RateLimit: j.RateLimit,
	}, errors.Join(errs...)
}

func checkSum(fields string, sum float64) error {
	const most = 1 + 1e-9 // thirds add up to a little more than 1
	if sum > most {
		return fmt.Errorf("%s: the shares add up to %v; write at most 1 in all", fields, sum)
	}
	return nil
}

// ParseWait reads a duration from 0 to ten minutes; an empty text is 0. field
// is what an error calls it.
func ParseWait(field, text string) (time.Duration, error) {
	const longest = 10 * time.Minute
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longest {
		return 0, fmt.Errorf("%s: %q is no duration from 0s to 10m; write one like 250ms", field, text)
	}
	return wait, nil
}

func checkShare(field string, share float64) error {
	if share < 0 || share > 1 {
		return fmt.Errorf("%s: %v is no share; write 0 (never) to 1 (always)", field, share)
	}
	return nil
}

// ServeHTTP is /_sandbox/<provider>: GET shows the Behavior, PUT changes the
// fields that the body names and leaves the others as they are. errors is one
// field: PUT replaces all codes.
func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, c.Get().Wire())
	case http.MethodPut:
		c.put(w, r)
	default:
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "GET shows how the provider behaves, PUT changes it"})
	}
}

func (c *Control) put(w http.ResponseWriter, r *http.Request) {
	const mostBytes = 64 << 10
	c.setting.Lock()
	defer c.setting.Unlock()
	wanted := c.Get().Wire()
	wanted.Errors = maps.Clone(wanted.Errors)
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBytes))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&wanted)
	if err == nil {
		var b Behavior
		if b, err = wanted.behavior(c.provider); err == nil {
			c.set(b)
			writeJSON(w, http.StatusOK, b.Wire())
			return
		}
	}
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
