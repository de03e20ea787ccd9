package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	// contestWithin is how far back external changes count.
	contestWithin = 10 * time.Minute
	// contestFrom is how many of them are no coincidence: a person who corrects a
	// count does so once or twice.
	contestFrom = 3
)

// contest remembers how often someone else changed the count. A person does it
// now and then; a second controller, or a pipeline that states a count, does it
// again after each of our writes. The zero value remembers nothing.
type contest struct{ changes []externalChange }

// externalChange is one count of ours that was found replaced.
type externalChange struct {
	at       time.Time
	from, to int
}

// see takes in a decision that was carried out, and forgets changes that are too long ago.
func (c *contest) see(d scaling.Decision) {
	for _, step := range d.Steps {
		if step.Rule == "externalChange" {
			c.changes = append(c.changes, externalChange{at: d.Time, from: step.From, to: step.To})
		}
	}
	for len(c.changes) > 0 && d.Time.Sub(c.changes[0].at) > contestWithin {
		c.changes = c.changes[1:]
	}
}

// message says that the count is contested, with the newest changes; empty: it is not.
func (c *contest) message() string {
	if len(c.changes) < contestFrom {
		return ""
	}
	var counts []string
	for _, change := range c.changes[len(c.changes)-contestFrom:] {
		counts = append(counts, fmt.Sprintf("%d to %d", change.from, change.to))
	}
	return fmt.Sprintf("someone else changed the count %d times since %s UTC (%s): "+
		"look for a second controller with a database of its own, or a pipeline that sets desired_count, in CloudTrail's UpdateService",
		len(c.changes), c.changes[0].at.UTC().Format(time.TimeOnly), strings.Join(counts, ", "))
}
