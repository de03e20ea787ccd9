package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Facts are what was recorded of one incident.
type Facts struct {
	Cause, End time.Time
	Counts     []Count
	Looks      []Look
	Depths     []Depth
	Notices    []Notice
	Printed    string // what local printed
	Lost       *int   // by local's closing report; nil: it printed none
	Twice      *int
	Troubles   []string // what the harness could not do
}

// Count is the service's count of tasks at one moment, as ECS tells it.
type Count struct {
	Time             time.Time
	Desired, Running int
}

// Look is what `controller get` said of the policy.
type Look struct {
	Time   time.Time
	Status string
}

// Depth is how many messages wait, are in flight, delayed or parked.
type Depth struct {
	Time    time.Time
	Backlog int
	Settled bool // no more than passes through anyway
}

// Notice is one alert of one notification.
type Notice struct {
	Time   time.Time `json:"time"`
	Alert  string    `json:"alert"`
	Firing bool      `json:"firing"`
	Text   string    `json:"text"`
}

// A Row is the verdict on one incident, with what it rests on.
type Row struct {
	ID           string   `json:"id"`
	Incident     string   `json:"incident"`
	FirstSeconds *float64 `json:"firstNoticeSeconds"` // after the cause; null: no notice
	FirstAlert   string   `json:"firstNoticeAlert,omitempty"`
	Notice       string   `json:"notice,omitempty"`
	Status       []string `json:"status"` // what get said during it, in order
	Before       int      `json:"countBefore"`
	Least        int      `json:"countAtLeast"`
	Most         int      `json:"countAtMost"`
	After        int      `json:"countAfter"`
	Recovered    *float64 `json:"recoveredSeconds"` // after the cause ended; null: it did not
	Resolved     *float64 `json:"resolvedSeconds"`  // the last of the alerts, after the cause ended
	Lost         *int     `json:"lost"`
	Twice        *int     `json:"sentTwice"`
	Also         []string `json:"alsoNotified,omitempty"` // alerts that nobody asked for
	Problems     []string `json:"problems"`               // empty: OK
	Notices      []Told   `json:"notices"`
}

// Told is a notice and when it came, in seconds after the cause.
type Told struct {
	Seconds float64 `json:"seconds"`
	Notice
}

// judge holds the facts against what is expected.
func judge(i Incident, f Facts) Row {
	row := Row{ID: i.ID, Incident: i.Name, Lost: f.Lost, Twice: f.Twice, Problems: slices.Clone(f.Troubles)}
	if f.Cause.IsZero() || f.End.IsZero() {
		row.Problems = append(row.Problems, "the incident was not played to its end")
		return row
	}
	row.notices(i.Expect, f)
	row.status(i.Expect, f)
	row.count(i.Expect, f)
	row.recovery(i.Expect, f)
	row.messages(i.Expect, f)
	for _, words := range i.Expect.Printed {
		if !contains(f.Printed, words) {
			row.wrongf("local did not print %q", words)
		}
	}
	return row
}

func (r *Row) wrongf(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *Row) notices(e Expect, f Facts) {
	var told strings.Builder
	for _, n := range f.Notices {
		if n.Time.Before(f.Cause) {
			continue
		}
		r.Notices = append(r.Notices, Told{seconds(f.Cause, n.Time), n})
		switch {
		case !n.Firing:
		case slices.Contains(e.Alerts, n.Alert):
			told.WriteString(n.Text + "\n")
		case !slices.Contains(r.Also, n.Alert):
			r.Also = append(r.Also, n.Alert)
		}
	}
	if first := firstNotice(e, f); first != nil {
		after := seconds(f.Cause, first.Time)
		r.FirstSeconds, r.FirstAlert, r.Notice = &after, first.Alert, first.Text
	}
	for _, alert := range e.Alerts {
		switch at, fired := firedAt(f, alert); {
		case !fired:
			r.wrongf("no notice of %s", alert)
		case at.Sub(f.Cause) > noticeWithin:
			r.wrongf("%s came after %.0f s, want %.0f s at most", alert, seconds(f.Cause, at), noticeWithin.Seconds())
		}
	}
	for _, words := range e.Words {
		if told.Len() > 0 && !contains(told.String(), words) {
			r.wrongf("no notice says %q", words)
		}
	}
}

// firstNotice is the first of an alert that is expected, or else of any.
func firstNotice(e Expect, f Facts) *Notice {
	var other *Notice
	for n := range slices.Values(f.Notices) {
		if !n.Firing || n.Time.Before(f.Cause) {
			continue
		}
		if slices.Contains(e.Alerts, n.Alert) {
			return &n
		}
		if other == nil {
			other = &n
		}
	}
	return other
}

// firedAt is when an alert was first notified after the cause.
func firedAt(f Facts, alert string) (time.Time, bool) {
	for _, n := range f.Notices {
		if n.Firing && n.Alert == alert && !n.Time.Before(f.Cause) {
			return n.Time, true
		}
	}
	return time.Time{}, false
}

func (r *Row) status(e Expect, f Facts) {
	seen, lied := len(e.Status) == 0, ""
	for _, look := range f.Looks {
		if look.Time.Before(f.Cause) || look.Time.After(f.End) {
			continue
		}
		if !slices.Contains(r.Status, look.Status) {
			r.Status = append(r.Status, look.Status)
		}
		after := look.Time.Sub(f.Cause)
		seen = seen || after <= noticeWithin && slices.ContainsFunc(e.Status, func(word string) bool { return contains(look.Status, word) })
		if after > noticeWithin && look.Status == "OK" && lied == "" {
			lied = fmt.Sprintf("the status was OK %.0f s after the cause", after.Seconds())
		}
	}
	if !seen {
		r.wrongf("the status never said %s within %.0f s", strings.Join(e.Status, " or "), noticeWithin.Seconds())
	}
	if lied != "" && len(e.Status) > 0 {
		r.wrongf("%s", lied)
	}
}

func (r *Row) count(e Expect, f Facts) {
	known := false
	for _, c := range f.Counts {
		r.After = c.Desired
		switch {
		case !c.Time.After(f.Cause):
			r.Before, r.Least, r.Most, known = c.Desired, c.Desired, c.Desired, true
		case !c.Time.After(f.End):
			r.Least, r.Most = min(r.Least, c.Desired), max(r.Most, c.Desired)
		}
	}
	if !known {
		r.wrongf("the count before the cause is not known")
		return
	}
	if e.Count.wrong != nil && e.Count.wrong(r.Before, r.Least, r.Most) {
		r.wrongf("the count went from %d to between %d and %d, want %s", r.Before, r.Least, r.Most, e.Count.words)
	}
}

func (r *Row) recovery(e Expect, f Facts) {
	if at, ok := recoveredAt(f); ok {
		after := seconds(f.End, at)
		r.Recovered = &after
	} else {
		r.wrongf("not recovered: %s", lastSeen(f))
	}
	if !e.Resolves {
		return
	}
	last := f.End
	for _, alert := range e.Alerts {
		at, resolved := resolvedAt(f, alert)
		if _, fired := firedAt(f, alert); fired && !resolved {
			r.wrongf("%s was not resolved", alert)
			return
		}
		last = later(last, at)
	}
	after := seconds(f.End, last)
	r.Resolved = &after
}

// lastSeen says how things stood when nobody waited any longer.
func lastSeen(f Facts) string {
	status, backlog, count := "no status", "an unknown backlog", "an unknown count"
	if n := len(f.Looks); n > 0 {
		status = "status " + f.Looks[n-1].Status
	}
	if n := len(f.Depths); n > 0 {
		backlog = fmt.Sprintf("a backlog of %d", f.Depths[n-1].Backlog)
	}
	if n := len(f.Counts); n > 0 {
		count = fmt.Sprintf("%d of %d tasks", f.Counts[n-1].Running, f.Counts[n-1].Desired)
	}
	return status + ", " + backlog + ", " + count
}

// recoveredAt is when, after the end, the status was first OK with the backlog
// gone.
func recoveredAt(f Facts) (time.Time, bool) {
	for _, look := range f.Looks {
		if !look.Time.After(f.End) || look.Status != "OK" {
			continue
		}
		for _, depth := range slices.Backward(f.Depths) {
			if !depth.Time.After(look.Time) {
				if depth.Settled && depth.Time.After(f.End) {
					return look.Time, true
				}
				break
			}
		}
	}
	return time.Time{}, false
}

// resolvedAt is when the last notice about an alert said that it is over.
func resolvedAt(f Facts, alert string) (at time.Time, resolved bool) {
	for _, n := range f.Notices {
		if n.Alert == alert && !n.Time.Before(f.Cause) {
			at, resolved = n.Time, !n.Firing
		}
	}
	return at, resolved
}

func (r *Row) messages(e Expect, f Facts) {
	switch {
	case f.Lost == nil || f.Twice == nil:
		r.wrongf("local printed no closing report")
		return
	case *f.Lost > 0 && e.Loses == "":
		r.wrongf("%d messages were lost", *f.Lost)
	}
	if *f.Twice > 0 {
		r.wrongf("%d messages were sent twice", *f.Twice)
	}
}

// complete tells whether all is seen that an incident can show before its end.
func complete(e Expect, f Facts, now time.Time) bool {
	f.End = now
	row := Row{}
	row.notices(e, f)
	row.status(e, f)
	return len(row.Problems) == 0
}

// over tells whether nothing is left to wait for after the end.
func over(e Expect, f Facts) bool {
	row := Row{}
	row.recovery(e, f)
	return len(row.Problems) == 0
}

// verdict is OK, or what is wrong.
func (r *Row) verdict() string {
	words := "OK"
	if len(r.Problems) > 0 {
		words = "wrong: " + strings.Join(r.Problems, "; ")
	}
	if len(r.Also) > 0 {
		words += " (also notified: " + strings.Join(r.Also, ", ") + ")"
	}
	return words
}

func contains(text, words string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(words))
}

func seconds(from, to time.Time) float64 { return to.Sub(from).Round(time.Second).Seconds() }

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
