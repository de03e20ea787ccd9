package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

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

// line is one alert: its message, and since when.
func line(a alerting.Alert) string {
	text := a.Message
	if a.Queue != "" && !strings.Contains(text, a.Queue) {
		text = a.Queue + ": " + text
	}
	if a.State == alerting.Firing {
		text += " (since " + clock(a.Since) + ")"
	} else {
		text = "resolved at " + clock(a.ResolvedAt) + ": " + text
	}
	if a.Unknown != "" {
		text += "; now " + a.Unknown
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC") }

// textLimit is two parts of a text in GSM-7.
const textLimit = 306

// texted is a notification as a text: the title, the first alert, and how
// many more there are.
func texted(n alerting.Notification) string {
	text := title(n)
	if len(n.Alerts) > 0 {
		text += ": " + line(n.Alerts[0])
	}
	more := ""
	if rest := len(n.Alerts) - 1; rest > 0 {
		more = fmt.Sprintf(" +%d more", rest)
	}
	return short(plain(text), textLimit-len(more)) + more
}

// plain keeps a text in GSM-7: one character outside it halves what fits.
func plain(text string) string {
	return strings.NewReplacer("→", "->", "≤", "<=", "≥", ">=", "…", "...", "–", "-", "—", "-", "“", `"`, "”", `"`, "’", "'", "·", "-", "\n", " ").Replace(text)
}

// short cuts text to so many characters.
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
		out.WriteString(" Told again, since nothing changed.")
	}
	if page != "" {
		out.WriteString("\n" + page)
	}
	return out.String() + "\n"
}
