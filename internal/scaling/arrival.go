package scaling

import (
	"math"
	"time"
)

const (
	// surprise is how many standard deviations a sample must lie off to be
	// taken for a step or a dump, not for noise.
	surprise = 4.0
	// stepChance is how far the plan follows a rate that was seen once: it
	// may be a step that stays, or a dump that is over.
	stepChance = 0.7
	// usualVolatility is the relative change of a rate in a minute that is
	// assumed until it was seen.
	usualVolatility = 0.08
	// surgeLasts is longer than the next sample takes, CloudWatch's too.
	surgeLasts = 5 * time.Minute
	maxDumps   = 16
)

// dump is a number of messages that came at once.
type dump struct {
	At   stamp   `json:"at"`
	Size float64 `json:"size"` // messages
}

// arrivalRate estimates messages/s that arrive: a level that wanders, seen
// through samples of known error (a Kalman filter of one dimension).
type arrivalRate struct {
	At       stamp   `json:"at,omitempty"`       // newest sample; 0: none yet
	Rate     float64 `json:"rate,omitempty"`     // messages/s
	Variance float64 `json:"variance,omitempty"` // of Rate at At
	Wander   float64 `json:"wander,omitempty"`   // squared relative change a minute; 0: not seen yet
	Minute   stamp   `json:"minute,omitempty"`   // end of the newest count of sent messages
	Count    float64 `json:"count,omitempty"`    // messages/s of that count
	Surge    float64 `json:"surge,omitempty"`    // messages/s of a sample that lay far off; 0: none
	Surged   stamp   `json:"surged,omitempty"`
	Dumps    []dump  `json:"dumps,omitempty"`
}

// rateSample is one reading of a rate.
type rateSample struct {
	from, to stamp
	rate     float64 // messages/s
	variance float64
}

// known says that at least one sample was taken in.
func (a *arrivalRate) known() bool { return a.At != 0 }

// drift is the variance that the rate gains in a second.
func (a *arrivalRate) drift() float64 {
	wander := a.Wander
	if wander == 0 {
		wander = usualVolatility * usualVolatility
	}
	level := max(a.Rate, 0.05)
	return wander * level * level / 60
}

// spread is the standard deviation of the rate at a time, in messages/s.
func (a *arrivalRate) spread(at stamp) float64 {
	return math.Sqrt(a.Variance + a.drift()*max(0, at.sub(a.At)))
}

// plan is the rate to expect from now on, a surge counted until it is old.
func (a *arrivalRate) plan(now stamp) float64 {
	if a.Surge > a.Rate && a.Surged.within(surgeLasts, now) {
		return a.Rate + stepChance*(a.Surge-a.Rate)
	}
	return a.Rate
}

// observe takes a sample in. One far off is kept apart: if the next one agrees
// with it, it was a step; if not, a dump, which tells nothing of the rate.
func (a *arrivalRate) observe(s rateSample) {
	if !a.known() {
		// The first one may be a dump: the next has the say.
		a.At, a.Rate, a.Variance = s.to, s.rate, s.variance+s.rate*s.rate
		return
	}
	middle := s.from + (s.to-s.from)/2
	prior := a.Variance + a.drift()*max(0, s.to.sub(a.At))
	variance := s.variance + a.drift()*max(0, a.At.sub(middle))
	off := s.rate - a.Rate
	if math.Abs(off) > surprise*math.Sqrt(prior+variance) {
		if a.Surge == 0 || (s.rate-a.Rate)*(a.Surge-a.Rate) < 0 || math.Abs(off) < 0.5*math.Abs(a.Surge-a.Rate) {
			a.Surge, a.Surged = max(s.rate, 1e-9), s.to
			return
		}
		a.Rate, a.Variance = s.rate, s.variance
		a.Surge = 0
	} else {
		a.Surge = 0 // it did not last: a dump
		gain := prior / (prior + variance)
		a.Rate = max(0, a.Rate+gain*off)
		a.Variance = (1 - gain) * prior
	}
	a.At = max(a.At, s.to)
}

// observeMinute takes in a count of sent messages. Live samples are ahead of
// it: where it contradicts them it is old news, or a dump that they saw.
func (a *arrivalRate) observeMinute(s *Sample, live bool) {
	if s == nil || stampOf(s.Time) <= a.Minute {
		return
	}
	end := stampOf(s.Time)
	begin := end - stamp(s.Period*1000)
	count := s.Value
	for _, d := range a.Dumps {
		if d.At > begin && d.At <= end {
			count = max(0, count-d.Size)
		}
	}
	rate := count / s.Period
	a.learnWander(begin, rate, s.Period)
	a.Minute, a.Count = end, rate
	sample := rateSample{from: begin, to: end, rate: rate, variance: max(count, 1) / (s.Period * s.Period)}
	if live && a.At >= end && a.contradicts(sample) {
		return
	}
	a.observe(sample)
}

func (a *arrivalRate) contradicts(s rateSample) bool {
	variance := s.variance + a.Variance + a.drift()*math.Abs(a.At.sub(s.from))
	return math.Abs(s.rate-a.Rate) > surprise*math.Sqrt(variance)
}

// learnWander follows how much the rate changes from minute to minute, less
// what is chance (Poisson); steps and dumps teach nothing.
func (a *arrivalRate) learnWander(begin stamp, rate, period float64) {
	if a.Minute != begin || a.Count+rate == 0 {
		return
	}
	level := (a.Count + rate) / 2
	change := (rate - a.Count) * (rate - a.Count)
	relative := (change - 2*level/period) / (level * level) * 60 / period
	const steps = 0.25 // half the level in a minute is a step
	if relative > steps {
		return
	}
	if a.Wander == 0 {
		a.Wander = usualVolatility * usualVolatility
	}
	a.Wander = min(max(a.Wander+0.05*(relative-a.Wander), 1e-4), steps)
}

// noteDump remembers messages that came at once.
func (a *arrivalRate) noteDump(at stamp, size float64) {
	a.Dumps = append(a.Dumps, dump{At: at, Size: size})
	a.Dumps = a.Dumps[max(0, len(a.Dumps)-maxDumps):]
}
