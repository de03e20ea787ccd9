package scaling

import (
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/novaura/acs-operator/config"
)

// bounds are the counts in force, and the schedules that set them.
type bounds struct {
	Min, Max       int
	MinBy, MaxBy   string // a schedule's name; empty: the policy itself
	MinSet, MaxSet bool
}

// boundsAt returns the bounds in force. Of overlapping schedules the highest
// minTasks and the highest maxTasks win; a minimum above the maximum lifts it.
func boundsAt(spec *config.ScalingSpec, now time.Time) bounds {
	b := bounds{Min: spec.MinTasks, Max: spec.MaxTasks}
	for i := range spec.Schedules {
		s := &spec.Schedules[i]
		if !active(s, now) {
			continue
		}
		if s.MinTasks != nil && (!b.MinSet || *s.MinTasks > b.Min) {
			b.Min, b.MinBy, b.MinSet = *s.MinTasks, s.Name, true
		}
		if s.MaxTasks != nil && (!b.MaxSet || *s.MaxTasks > b.Max) {
			b.Max, b.MaxBy, b.MaxSet = *s.MaxTasks, s.Name, true
		}
	}
	b.Max = max(b.Max, b.Min)
	return b
}

// boundsAhead is as boundsAt, but raises the minimum of a schedule so many
// seconds before it starts, so that its tasks run when it does; never above
// the maximum that is in force until then.
func boundsAhead(spec *config.ScalingSpec, now time.Time, lead float64) bounds {
	b := boundsAt(spec, now)
	if len(spec.Schedules) == 0 {
		return b
	}
	until, most := now.Add(time.Duration(lead*float64(time.Second))), b.Max
	raise := func(soon bounds) {
		if low := min(soon.Min, most); low > b.Min {
			b.Min, b.MinBy, b.MinSet = low, soon.MinBy, soon.MinSet
		}
	}
	raise(boundsAt(spec, until))
	for i := range spec.Schedules { // one that is over again by then
		if s := &spec.Schedules[i]; s.MinTasks != nil && s.Duration < until.Sub(now) {
			if start, found := startWithin(s, now, until); found {
				raise(boundsAt(spec, start))
			}
		}
	}
	return b
}

func (b bounds) clamp(tasks int) int { return min(max(tasks, b.Min), b.Max) }

// limiter names what holds a wish at a bound: the schedule that set it, or the
// policy's own field.
func (b bounds) limiter(wish, to int) (rule, reason string) {
	rule, by, field := "maxTasks", b.MaxBy, "maxTasks"
	if to == b.Min && (to < b.Max || wish < to) {
		rule, by, field = "minTasks", b.MinBy, "minTasks"
	}
	if by != "" {
		return "schedule", "schedule " + by + " (" + field + " " + number(float64(to)) + ")"
	}
	return rule, field + " " + number(float64(to))
}

// active says whether the schedule started within its duration before now.
//
// The cron fields are read on the wall clock of the schedule's zone: a start
// in the hour that daylight saving skips comes at the jump, one in the hour
// that comes twice the first time only.
func active(s *config.Schedule, now time.Time) bool {
	_, found := startWithin(s, now.Add(-s.Duration), now)
	return found
}

// startWithin returns the first start after one time, and no later than another.
func startWithin(s *config.Schedule, after, until time.Time) (start time.Time, found bool) {
	fields, err := cron.ParseStandard(s.Cron)
	zone, known := location(s.TimeZone)
	if err != nil || !known {
		return start, false // refused when the policy was loaded
	}
	for wall := fields.Next(wallClock(after, zone)); !wall.IsZero(); wall = fields.Next(wall) {
		start = instant(wall, zone)
		if start.After(until) {
			return start, false
		}
		if start.After(after) {
			return start, true
		}
	}
	return start, false
}

// wallClock returns what a clock in the zone shows, as if it were UTC, where
// no hour is skipped or doubled.
func wallClock(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns the first time at which a clock in the zone shows wall; for
// a time that the zone skips, the jump.
func instant(wall time.Time, zone *time.Location) time.Time {
	const day = 24 * time.Hour
	var before time.Time
	for i, near := range []time.Time{wall.Add(-day), wall.Add(day)} {
		_, offset := near.In(zone).Zone()
		candidate := wall.Add(-time.Duration(offset) * time.Second)
		if wallClock(candidate, zone).Equal(wall) {
			return candidate
		}
		if i == 0 {
			before = candidate
		}
	}
	jump, _ := before.In(zone).ZoneBounds()
	return jump
}

// locations remembers zones: the time package reads one from its table each
// time it is asked.
var locations sync.Map

func location(name string) (*time.Location, bool) {
	if found, ok := locations.Load(name); ok {
		zone, ok := found.(*time.Location)
		return zone, ok
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	locations.Store(name, zone)
	return zone, true
}
