package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
)

// title is what a notification is about, in a line.
func title(n alerting.Notification) string {
	firing := 0
	for _, a := range n.Alerts {
		if a.State == alerting.Firing {
			firing++
		}
	}
	switch firing {
	case 0:
		return "[RESOLVED] " + n.Alert
	case 1:
		return "[FIRING] " + n.Alert
	default:
		return fmt.Sprintf("[FIRING:%d] %s", firing, n.Alert)
	}
}

// line is one alert: its message, and since when it fires or how long it did.
func line(a alerting.Alert) string { return body(a) + " (" + period(a) + ")" }

// body is an alert's message, with its queue.
func body(a alerting.Alert) string {
	text := a.Message
	if a.Queue != "" && !strings.Contains(text, a.Queue) {
		text = a.Queue + ": " + text
	}
	if a.Unknown != "" {
		text += "; now " + a.Unknown
	}
	return text
}

// period is since when an alert fires, or when it was resolved and how long it
// lasted, counted from when its condition began to hold.
func period(a alerting.Alert) string {
	switch {
	case a.State == alerting.Firing:
		return "since " + clock(a.Since)
	case a.Since.IsZero():
		return "resolved at " + clock(a.ResolvedAt)
	default:
		return fmt.Sprintf("resolved at %s after %s", clock(a.ResolvedAt), config.Age(a.ResolvedAt.Sub(a.Since).Seconds()))
	}
}

// runbook is the link that all alerts of a notification share: they are of one
// rule. Empty: it has none.
func runbook(n alerting.Notification) string {
	if len(n.Alerts) == 0 {
		return ""
	}
	return n.Alerts[0].RunbookURL
}

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC") }

// textLimit is two parts of a text in GSM-7.
const textLimit = 306

// texted is a notification as a text: the title, the first alert, how many more
// there are, and the runbook where it fits. A message that is too long is cut,
// not what follows it.
func texted(n alerting.Notification) string {
	text, end := plain(title(n)), ""
	if len(n.Alerts) > 0 {
		end = " (" + period(n.Alerts[0]) + ")"
		if rest := len(n.Alerts) - 1; rest > 0 {
			end += fmt.Sprintf(" +%d more", rest)
		}
		text += ": " + plain(body(n.Alerts[0]))
	}
	text = short(text, textLimit-len(end)) + end
	if link := runbook(n); link != "" {
		if longer := text + " " + plain(strings.TrimPrefix(link, "https://")); utf8.RuneCountInString(longer) <= textLimit {
			return longer
		}
	}
	return text
}

// plain keeps a text in GSM-7: one character outside it halves what fits.
func plain(text string) string {
	return strings.NewReplacer("→", "->", "≤", "<=", "≥", ">=", "…", "...", "–", "-", "—", "-", "“", `"`, "”", `"`, "’", "'", "·", "-", "\n", " ").Replace(text)
}

// short cuts text to a length, in characters.
func short(text string, most int) string {
	text = strings.TrimSpace(text)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-3]) + "..."
}

// written is a notification at length: a line an alert.
func written(n alerting.Notification, page string) string {
	var out strings.Builder
	for _, a := range n.Alerts {
		fmt.Fprintf(&out, "%s  %s  %s\n", strings.ToUpper(string(a.State)), a.Severity, line(a))
	}
	fmt.Fprintf(&out, "\nScaling policy %s, alert policy %s.", n.Policy, n.AlertPolicy)
	if n.Reason == alerting.Repeated {
		out.WriteString(" This is a reminder: nothing has changed since the last notification.")
	}
	if link := runbook(n); link != "" {
		out.WriteString("\nWhat to do: " + link)
	}
	if page != "" {
		out.WriteString("\nThe controller's page: " + page)
	}
	return out.String() + "\n"
}
