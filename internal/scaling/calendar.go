package scaling

import (
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	maxDumps    = 24
	maxPatterns = 12
	// punctual is how far off its predicted time a dump may come.
	punctual = 90 * time.Second
	// alikeSize is how many times as large one dump may be as another of the
	// same series.
	alikeSize = 4
	// onTime is how far, in seconds, a dump seems to be off that is on time:
	// it came somewhere between two looks.
	onTime = 8.0
	// manyDumps within manyWithin are noise: they meet every prediction.
	manyDumps  = 5
	manyWithin = 25 * time.Minute
)

// periods are the distances at which campaigns and jobs repeat, shortest
// first: of several that would explain two dumps, the first does.
var periods = []time.Duration{
	10 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour,
	4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// dump is a number of messages that came at once.
type dump struct {
	At   stamp   `json:"at"`   // the earliest it can have come
	Size float64 `json:"size"` // messages
	// Counted: a count of sent messages shows it.
	Counted bool `json:"counted,omitempty"`
}

// pattern is dumps that come a regular distance apart.
type pattern struct {
	Period stamp   `json:"period"` // milliseconds
	Next   stamp   `json:"next"`   // when one is due
	Size   float64 `json:"size"`   // messages
	Hits   int     `json:"hits"`
	Misses int     `json:"misses,omitempty"`
	Spread float64 `json:"spread,omitempty"` // seconds that it comes off its time, smoothed
}

// slack is how long, in seconds, before and after its time it is looked for.
func (p pattern) slack() float64 {
	return min(2*max(0, p.Spread-onTime), punctual.Seconds())
}

// calendar remembers dumps and what they seem to follow. A pattern has its say
// from the second dump on, and loses it once it failed more often than not. One
// dump at a full hour, when most campaigns start, is enough for a guess at the
// next; a guess that fails twice is not made again until one comes true.
type calendar struct {
	Dumps    []dump    `json:"dumps,omitempty"` // oldest first
	Patterns []pattern `json:"patterns,omitempty"`
	Wrong    int       `json:"wrong,omitempty"` // guesses that failed
}

// maxWrong is how many guesses may fail.
const maxWrong = 2

// guessed says that the pattern has nothing to show yet.
func (p pattern) guessed() bool { return p.Hits == 0 }

func (c calendar) clone() calendar {
	c.Dumps = copied(c.Dumps)
	c.Patterns = copied(c.Patterns)
	return c
}

// note remembers a dump, once.
func (c *calendar) note(d dump) {
	const once = 45 * time.Second
	for i := range c.Dumps {
		if known := &c.Dumps[i]; known.At.within(once, d.At) && d.At.within(once, known.At) {
			known.Size = max(known.Size, d.Size)
			return
		}
	}
	if !c.hit(d) {
		c.suspect(d)
	}
	c.Dumps = append(c.Dumps, d)
	c.Dumps = c.Dumps[max(0, len(c.Dumps)-maxDumps):]
}

// hit credits every pattern that had predicted the dump.
func (c *calendar) hit(d dump) (predicted bool) {
	for i := range c.Patterns {
		p := &c.Patterns[i]
		for _, due := range []stamp{p.Next, p.Next - p.Period} {
			own := p.guessed() && due != p.Next // the one that it was guessed from
			if own || !due.within(punctual, d.At) || !d.At.within(punctual, due) {
				continue
			}
			if due != p.Next { // it was taken for a miss already
				p.Misses = max(0, p.Misses-1)
			}
			if p.guessed() {
				c.Wrong = 0
			}
			p.Hits = min(p.Hits+1, 30)
			p.Misses = max(0, p.Misses-1)
			p.Size += 0.5 * (d.Size - p.Size)
			p.Spread += 0.3 * (math.Abs(d.At.sub(due)) - p.Spread)
			p.Next = due + p.Period + (d.At-due)/2
			predicted = true
			break
		}
	}
	return predicted
}

// suspect makes a pattern of a dump that nothing predicted and an earlier one.
func (c *calendar) suspect(d dump) {
	if c.noise(d.At) {
		return
	}
	for _, period := range periods {
		before := d.At.add(-period)
		for _, e := range slices.Backward(c.Dumps) {
			if e.At.within(punctual, before) && before.within(punctual, e.At) && d.Size < alikeSize*e.Size && e.Size < alikeSize*d.Size {
				c.Patterns = append(c.Patterns, pattern{Period: stamp(period.Milliseconds()), Next: d.At.add(period), Size: (d.Size + e.Size) / 2, Hits: 1})
				c.forgetOne()
				return
			}
		}
	}
	hour := stamp(time.Hour.Milliseconds())
	if c.Wrong < maxWrong && d.At.add(punctual/2)%hour < stamp(punctual.Milliseconds()) {
		c.Patterns = append(c.Patterns, pattern{Period: hour, Next: d.At + hour, Size: d.Size})
		c.forgetOne()
	}
}

// forgetOne drops the pattern with the least to show, when there are too many.
func (c *calendar) forgetOne() {
	if len(c.Patterns) <= maxPatterns {
		return
	}
	worst := 0
	for i, p := range c.Patterns {
		if p.Hits-p.Misses < c.Patterns[worst].Hits-c.Patterns[worst].Misses {
			worst = i
		}
	}
	c.Patterns = slices.Delete(c.Patterns, worst, worst+1)
}

// turn counts as missed what was due by known, the time up to which arrivals
// are known, and moves on.
func (c *calendar) turn(known, now stamp) {
	for i := range c.Patterns {
		p := &c.Patterns[i]
		for n := 0; p.Period > 0 && p.Next.add(punctual) < known && n < 4; n++ {
			p.Misses++
			p.Next += p.Period
		}
		if p.Next.add(punctual) < known { // asleep for long: the phase holds
			p.Next += (known - p.Next) / p.Period * p.Period
		}
	}
	c.Patterns = slices.DeleteFunc(c.Patterns, func(p pattern) bool {
		if p.guessed() && p.Misses > 0 {
			c.Wrong = min(c.Wrong+1, maxWrong)
		}
		return p.Misses > min(p.Hits, 6) || p.Period <= 0 || p.Next > now.add(8*24*time.Hour)
	})
}

// noise says that dumps come so often that any time is one's.
func (c *calendar) noise(now stamp) bool {
	n := len(c.Dumps)
	return n >= manyDumps && c.Dumps[n-manyDumps].At.within(manyWithin, now)
}

// due is the largest dump predicted from..to, and the pattern that says so;
// give or take so many times its slack.
func (c *calendar) due(from, to stamp, give float64) (best pattern, found bool) {
	for _, p := range c.Patterns {
		off := stamp(give * p.slack() * 1000)
		if p.Next >= from-off && p.Next <= to+off && p.Size > best.Size {
			best, found = p, true
		}
	}
	return best, found
}

// correct gives a dump the size that the counts tell, and its series with it.
func (c *calendar) correct(i int, size float64) {
	d := &c.Dumps[i]
	for j := range c.Patterns {
		if p := &c.Patterns[j]; p.followed(*d) {
			p.Size = max(0, p.Size+0.5*(size-d.Size))
		}
	}
	d.Size = size
}

// verify holds the dumps of a minute and of the one before against what was counted
// beyond the usual. Depths alone show one too where the tasks did less than they are
// known to do: what neither minute counts a quarter of never came, where both were
// counted.
func (c *calendar) verify(begin, end stamp, beyond float64, both bool) {
	before := begin - (end - begin)
	for i := len(c.Dumps) - 1; i >= 0; i-- {
		d := &c.Dumps[i]
		if d.At < before || d.At >= end || d.Counted {
			continue
		}
		d.Counted = beyond >= d.Size/4
		if both && !d.Counted && d.At < begin {
			c.refute(*d)
			c.Dumps = slices.Delete(c.Dumps, i, i+1)
		}
	}
}

// refute takes back what a dump that never came was taken to prove.
func (c *calendar) refute(d dump) {
	c.Patterns = slices.DeleteFunc(c.Patterns, func(p pattern) bool {
		return p.Hits <= 1 && p.followed(d)
	})
	for i := range c.Patterns {
		if p := &c.Patterns[i]; p.followed(d) {
			p.Hits--
			p.Misses++
		}
	}
}

// followed says that the dump was the newest of the series.
func (p pattern) followed(d dump) bool {
	last := p.Next - p.Period
	return last.within(punctual, d.At) && d.At.within(punctual, last)
}

// explains says that a surge which began at a time, and brought so many
// messages so far, was predicted.
func (c *calendar) explains(since stamp, extra float64) bool {
	if c.noise(since) {
		return false
	}
	for _, p := range c.Patterns {
		if extra > 3*p.Size || p.guessed() {
			continue
		}
		for _, due := range []stamp{p.Next, p.Next - p.Period} {
			if due.within(punctual, since) && since.within(punctual, due) {
				return true
			}
		}
	}
	return false
}

// cameIn says whether a dump came from..to, and of what size.
func (c *calendar) cameIn(from, to stamp) (bool, float64) {
	for _, d := range slices.Backward(c.Dumps) {
		if d.At >= from && d.At < to {
			return true, d.Size
		}
	}
	return false, 0
}

// last is when the newest dump came; 0: none did.
func (c *calendar) last() stamp {
	if len(c.Dumps) == 0 {
		return 0
	}
	return c.Dumps[len(c.Dumps)-1].At
}

// sentence tells what the prediction rests on.
func (p pattern) sentence() string {
	if p.guessed() {
		return fmt.Sprintf("%s may come at %s, as an hour before", number(p.Size), time.UnixMilli(int64(p.Next)).UTC().Format("15:04"))
	}
	return fmt.Sprintf("%s expected at %s, as every %s (%d of %d came)", number(p.Size),
		time.UnixMilli(int64(p.Next)).UTC().Format("15:04"), duration(time.Duration(p.Period)*time.Millisecond), p.Hits, p.Hits+p.Misses)
}
