package scaling

// The directions that a Hold forbids.
const (
	HoldIn   = "in"   // no task is taken away
	HoldOut  = "out"  // none is added
	HoldBoth = "both" // the count stays
)

// Hold forbids changes for a reason that lies outside of the policy: a
// person's pause, a lease that cannot be confirmed, another autoscaler. It is
// part of the observation, so that a replay sees it too.
type Hold struct {
	Rule      string `json:"rule"`      // names the step, and Decision.LimitedBy
	Direction string `json:"direction"` // HoldIn, HoldOut or HoldBoth
	Reason    string `json:"reason"`
}

func (h Hold) forbids(from, to int) bool {
	switch h.Direction {
	case HoldIn:
		return to < from
	case HoldOut:
		return to > from
	}
	return to != from
}

// hold has the last word: not even a bound moves a count that is held.
func (d *deciding) hold() {
	for _, h := range d.obs.Holds {
		if h.forbids(d.current, d.tasks) {
			d.step(h.Rule, d.current, h.Reason)
		}
	}
}
