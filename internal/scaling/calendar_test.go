package scaling

import (
	"strings"
	"testing"
	"time"
)

// guessAt is what a calendar says an hour after a dump at so many minutes past
// eight, when guesses have failed so often before.
func guessAt(minutes time.Duration, wrong int) (pattern, bool) {
	c := calendar{Wrong: wrong}
	at := stampOf(monday.Truncate(time.Hour)).add(minutes)
	c.note(dump{At: at, Size: 20000})
	next := at.add(time.Hour)
	return c.due(next.add(-time.Minute), next.add(time.Minute), 0)
}

func TestOneDumpAtAFullHourIsEnoughForAGuessAtTheNext(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		minutes time.Duration
		wrong   int
		want    bool
	}{
		"at the full hour":             {0, 0, true},
		"half a minute before it":      {-30 * time.Second, 0, true},
		"half a minute after it":       {30 * time.Second, 0, true},
		"at a quarter past":            {15 * time.Minute, 0, false},
		"after a guess that failed":    {0, 1, true},
		"after two guesses that did":   {0, maxWrong, false},
		"two minutes before the hour":  {-2 * time.Minute, 0, false},
		"two minutes after the hour":   {2 * time.Minute, 0, false},
		"at the half hour: not as apt": {30 * time.Minute, 0, false},
	} {
		if p, found := guessAt(tc.minutes, tc.wrong); found != tc.want || found && !strings.Contains(p.sentence(), "20,000 may come at 0") {
			t.Errorf("%s: got %v %q, want %v", name, found, p.sentence(), tc.want)
		}
	}
}

func TestAGuessThatFailsIsForgottenAndOneThatComesTrueIsASeries(t *testing.T) {
	t.Parallel()
	first := stampOf(monday.Truncate(time.Hour))
	var c calendar
	c.note(dump{At: first, Size: 20000})
	late := first.add(70 * time.Minute)
	failed := c.clone()
	c.note(dump{At: first.add(80 * time.Second), Size: 9000}) // the rest of the first
	if c.Patterns[0].Hits != 0 {
		t.Errorf("what it was guessed from made it come true: %+v", c)
	}
	if failed.turn(late, late); len(failed.Patterns) != 0 || failed.Wrong != 1 {
		t.Errorf("it did not come: %+v", failed)
	}
	c.Wrong = 1
	c.note(dump{At: first.add(time.Hour), Size: 18000})
	if len(c.Patterns) != 1 || c.Patterns[0].guessed() || c.Wrong != 0 {
		t.Errorf("it came: %+v", c)
	}
	if p, found := c.due(first.add(119*time.Minute), first.add(121*time.Minute), 0); !found || !strings.Contains(p.sentence(), "as every 1h") {
		t.Errorf("the third: %v %q", found, p.sentence())
	}
}

func TestADumpThatNoCountShowsNeverCame(t *testing.T) {
	t.Parallel()
	first := stampOf(monday.Truncate(time.Hour))
	both := true
	minute := func(after int, c *calendar, beyond float64) {
		begin := first.add(time.Duration(after) * time.Minute)
		c.verify(begin, begin.add(time.Minute), beyond, both)
	}
	for name, tc := range map[string]struct {
		beyond [2]float64 // messages counted beyond the usual, in its minute and the next
		stays  bool
	}{
		"its own minute shows it":               {[2]float64{18000, 0}, true},
		"the next one does: it came at its end": {[2]float64{0, 19000}, true},
		"a part of it is in each":               {[2]float64{12000, 8000}, true},
		"neither shows it":                      {[2]float64{0, 0}, false},
		"a tenth of it is chance":               {[2]float64{1500, -800}, false},
	} {
		var c calendar
		for i := range 4 { // every half an hour, and as every one before it
			at := first.add(time.Duration(i-3) * 30 * time.Minute)
			c.note(dump{At: at, Size: 20000, Counted: i < 3})
		}
		hits := c.Patterns[0].Hits
		minute(0, &c, tc.beyond[0])
		minute(1, &c, tc.beyond[1])
		if stays := len(c.Dumps) == 4 && c.Patterns[0].Hits == hits; stays != tc.stays {
			t.Errorf("%s: stays %v, want %v: %+v", name, stays, tc.stays, c)
		}
	}
	both = false
	var uncounted calendar
	uncounted.note(dump{At: first, Size: 20000})
	if minute(1, &uncounted, 0); len(uncounted.Dumps) != 1 {
		t.Errorf("its own minute was not counted: %+v", uncounted)
	}
	both = true
	var guess calendar
	guess.note(dump{At: first, Size: 20000})
	minute(0, &guess, 0)
	if minute(1, &guess, 0); len(guess.Dumps)+len(guess.Patterns) > 0 {
		t.Errorf("what was guessed from it stays: %+v", guess)
	}
}
