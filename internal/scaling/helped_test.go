package scaling

import (
	"testing"
	"time"
)

func TestWhetherMoreTasksHelpIsSeenInTheMinutes(t *testing.T) {
	t.Parallel()
	minute := func(n int, tasks, rate float64, change ...func(*served)) served {
		s := served{end: stampOf(monday.Add(time.Duration(n) * time.Minute)), tasks: tasks, rate: rate, busy: true, steady: true}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	calm := func(s *served) { s.busy = false }
	rising := func(s *served) { s.steady = false }
	for name, tc := range map[string]struct {
		minutes []served
		limit   int
	}{
		"a steep rise that gains nothing":                               {[]served{minute(1, 5, 40), minute(2, 50, 60)}, 9},
		"a small one says nothing alone":                                {[]served{minute(1, 5, 40), minute(2, 8, 42)}, 0},
		"two small ones do":                                             {[]served{minute(1, 5, 40), minute(2, 8, 42), minute(3, 12, 42)}, 6},
		"a rise from tasks that could have done more":                   {[]served{minute(1, 5, 40, calm), minute(2, 50, 60)}, 9},
		"a gain over tasks that could have done more proves nothing":    {[]served{minute(1, 5, 40), minute(2, 8, 42), minute(3, 8, 50, calm), minute(4, 12, 44)}, 7},
		"more tasks did more":                                           {[]served{minute(1, 5, 40), minute(2, 50, 300)}, 0},
		"each did less before the rise":                                 {[]served{minute(1, 5, 40), minute(2, 5, 15), minute(3, 13, 40)}, 0},
		"each did less while they came":                                 {[]served{minute(1, 5, 40), minute(2, 7, 20, rising), minute(3, 13, 40)}, 0},
		"a minute that is told late is no base":                         {[]served{minute(2, 5, 15), minute(1, 5, 40), minute(3, 13, 40)}, 0},
		"so few tasks do less: it was no limit":                         {[]served{minute(1, 5, 40), minute(2, 50, 60), minute(5, 9, 20)}, 0},
		"so few tasks do as much":                                       {[]served{minute(1, 5, 40), minute(2, 50, 60), minute(5, 9, 60)}, 9},
		"a quiet minute later is no proof against it":                   {[]served{minute(1, 5, 40), minute(2, 50, 60), minute(5, 9, 20, calm)}, 9},
		"the first tasks that came are a base, where there is no other": {[]served{minute(1, 10, 60, rising), minute(2, 60, 60)}, 10},
	} {
		var h helped
		for _, s := range tc.minutes {
			h.compare(s, 8)
		}
		if h.Limit != tc.limit {
			t.Errorf("%s: limit %d, want %d", name, h.Limit, tc.limit)
		}
	}
}

func TestTasksThatDoMoreThanALimitShowThatItRose(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rate float64 // messages/s that the tasks allowed do
		want int     // tasks allowed after
	}{
		"they do more than all did":  {rate: 72, want: 14},
		"they do about as much":      {rate: 62, want: 9},
		"they do less, but not much": {rate: 50, want: 9},
	} {
		var r serviceRate
		minute := func(n int, tasks, rate float64) {
			r.learn(served{end: stampOf(monday.Add(time.Duration(n) * time.Minute)), tasks: tasks, rate: rate, busy: true, steady: true})
		}
		minute(1, 5, 40)
		minute(2, 50, 60)
		minute(5, 9, tc.rate)
		r.Helped.turn(stampOf(monday.Add(6*time.Minute)), false)
		if r.Helped.Limit != tc.want || r.PerTask != 8 {
			t.Errorf("%s: %d tasks allowed, and %.1f/s of one, want %d and 8: the limit is not the task's", name, r.Helped.Limit, r.PerTask, tc.want)
		}
	}
}

func TestALimitMetStepByStepIsReckonedFromWhatATaskDidBefore(t *testing.T) {
	t.Parallel()
	var r serviceRate
	for i, tasks := range []float64{5, 7, 9, 9, 9, 9, 9, 9, 12} { // 7.5 of them do the 60/s
		r.learn(served{end: stampOf(monday.Add(time.Duration(i) * time.Minute)), tasks: tasks, rate: min(60, 8*tasks), busy: true, steady: true})
	}
	if r.Helped.Limit != 9 || r.PerTask != 8 {
		t.Errorf("%d tasks allowed, want 9, and %.1f/s of one, which does 8", r.Helped.Limit, r.PerTask)
	}
}

func TestALimitIsTriedAgainWithAFewTasksMore(t *testing.T) {
	t.Parallel()
	proven := func() helped {
		var h helped
		h.compare(served{end: stampOf(monday), tasks: 5, rate: 40, busy: true, steady: true}, 8)
		h.compare(served{end: stampOf(monday.Add(time.Minute)), tasks: 50, rate: 60, busy: true, steady: true}, 8)
		h.compare(served{end: stampOf(monday.Add(16 * time.Minute)), tasks: 9, rate: 60, busy: true, steady: true}, 8)
		return h
	}
	later := stampOf(monday.Add(17 * time.Minute))
	for name, tc := range map[string]struct {
		calm        bool
		during, end int // the limit while more are tried, and after a minute with rate done by that many
		rate        float64
	}{
		"a calm queue has none": {calm: true},
		"it still holds":        {during: 14, end: 9, rate: 60},
		"it is gone":            {during: 14, end: 0, rate: 90},
	} {
		h := proven()
		h.turn(later, tc.calm)
		h.turn(later, tc.calm)
		if h.Limit != tc.during {
			t.Errorf("%s: limit %d while more are tried, want %d", name, h.Limit, tc.during)
		}
		if tc.calm {
			continue
		}
		h.compare(served{end: later.add(2 * time.Minute), tasks: 14, rate: tc.rate, busy: true, steady: true}, 7)
		if h.Limit != tc.end {
			t.Errorf("%s: limit %d after, want %d", name, h.Limit, tc.end)
		}
		if tc.end > 0 && h.Until != later.add(2*time.Minute+2*tryAgain) {
			t.Errorf("%s: it is tried again in %v s, want twice as long as before", name, h.Until.sub(later))
		}
	}
}

func TestManyTasksThatDoNoMoreThanFewMetALimitAndDoNotFail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rate       float64 // messages/s of 60 tasks, where 3 did 12
		idle, ends bool
	}{
		"as much as the few":  {12, false, true},
		"half of it":          {6, false, false},
		"next to nothing":     {1, true, false},
		"twenty times of it":  {240, false, false},
		"nothing at all":      {0, true, false},
		"four times the work": {48, false, true},
	} {
		r := serviceRate{PerTask: 4, Minutes: 9}
		minute := stampOf(monday)
		for i, s := range []served{{rate: 12, tasks: 3}, {rate: tc.rate, tasks: 60}, {rate: tc.rate, tasks: 60}} {
			s.end, s.busy, s.steady = minute.add(time.Duration(i)*time.Minute), true, true
			r.learn(s)
		}
		if idle, ends := r.Idle > 0, r.Helped.Limit > 0; idle != tc.idle || ends != tc.ends {
			t.Errorf("%s: idle %v and limited %v, want %v and %v: %+v", name, idle, ends, tc.idle, tc.ends, r)
		}
	}
}
