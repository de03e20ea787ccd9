package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// at is a moment, in seconds after the cause.
func at(after float64) time.Time {
	return time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC).Add(time.Duration(after * float64(time.Second)))
}

// good is an incident of 150 s that goes as it should: a notice after 40 s, the
// count held at 2, recovered 20 s after the end, resolved 30 s after it.
func good() (Incident, Facts) {
	none := 0
	i := Incident{ID: "provider-500", Name: "A provider answers 500", Expect: Expect{
		Count: Held(), Alerts: []string{"ProviderFailing"}, Words: []string{"Twilio", "20500"}, Status: []string{"ProviderFailing"}, Resolves: true,
	}}
	f := Facts{Cause: at(0), End: at(150), Lost: &none, Twice: &none}
	for second := -10.0; second <= 200; second += 2 {
		status, backlog := "OK", 3
		if second > 30 && second < 170 {
			status, backlog = "ProviderFailing", 500
		}
		f.Counts = append(f.Counts, Count{at(second), 2, 2})
		f.Looks = append(f.Looks, Look{at(second), status})
		f.Depths = append(f.Depths, Depth{at(second), backlog, backlog < 50})
	}
	f.Notices = []Notice{
		{at(-20), "DeadLetters", true, "3 messages"},
		{at(40), "ProviderFailing", true, "twilio answers 500 (20500) to 100 %"},
		{at(180), "ProviderFailing", false, "twilio answers again"},
	}
	return i, f
}

func TestAnIncidentThatGoesAsItShouldIsOK(t *testing.T) {
	i, f := good()
	row := judge(i, f)
	if row.verdict() != "OK" {
		t.Errorf("verdict %q, want OK", row.verdict())
	}
	if row.FirstSeconds == nil || *row.FirstSeconds != 40 || row.FirstAlert != "ProviderFailing" || row.Notice != f.Notices[1].Text {
		t.Errorf("first notice %v %s %q, want 40 s of ProviderFailing, in full", row.FirstSeconds, row.FirstAlert, row.Notice)
	}
	if row.Recovered == nil || *row.Recovered != 20 || row.Resolved == nil || *row.Resolved != 30 {
		t.Errorf("recovered after %v s, resolved after %v s; want 20 and 30", row.Recovered, row.Resolved)
	}
	if want := []string{"OK", "ProviderFailing"}; !slices.Equal(row.Status, want) {
		t.Errorf("status %v, want %v", row.Status, want)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	one := 1
	for name, tc := range map[string]struct {
		change func(*Incident, *Facts)
		want   string // in the verdict
	}{
		"no notice at all": {
			func(_ *Incident, f *Facts) { f.Notices = nil }, "no notice of ProviderFailing"},
		"a notice from before the cause does not count": {
			func(_ *Incident, f *Facts) { f.Notices[1].Time = at(-1) }, "no notice of ProviderFailing"},
		"a notice that comes too late": {
			func(_ *Incident, f *Facts) { f.Notices[1].Time = at(130) }, "ProviderFailing came after 130 s, want 120 s at most"},
		"a notice that does not say the code": {
			func(_ *Incident, f *Facts) { f.Notices[1].Text = "twilio fails" }, `no notice says "20500"`},
		"words in a notice of another alert do not count": {
			func(_ *Incident, f *Facts) {
				f.Notices[1].Text = "twilio fails"
				f.Notices = append(f.Notices, Notice{at(50), "NothingDone", true, "20500"})
			}, `no notice says "20500"`},
		"an alert that fires on": {
			func(_ *Incident, f *Facts) { f.Notices = f.Notices[:2] }, "ProviderFailing was not resolved"},
		"an alert that was resolved and fires again": {
			func(_ *Incident, f *Facts) {
				f.Notices = append(f.Notices, Notice{at(190), "ProviderFailing", true, "again"})
			}, "ProviderFailing was not resolved"},
		"a status that is OK all the while": {
			func(_ *Incident, f *Facts) { setStatus(f, "OK", 0, 150) }, "the status never said ProviderFailing"},
		"a status that goes back to OK before the end": {
			func(_ *Incident, f *Facts) { setStatus(f, "OK", 130, 150) }, "the status was OK 130 s after the cause"},
		"a count that grows": {
			func(_ *Incident, f *Facts) { setCounts(f, 40, 60, 80) }, "the count went from 2 to between 2 and 40, want held"},
		"a count that falls": {
			func(_ *Incident, f *Facts) { setCounts(f, 1, 60, 80) }, "the count went from 2 to between 1 and 2, want held"},
		"no look at the count before the cause": {
			func(_ *Incident, f *Facts) { f.Counts = f.Counts[20:] }, "the count before the cause is not known"},
		"a status that is never OK again": {
			func(_ *Incident, f *Facts) { setStatus(f, "NothingDone", 150, 300) }, "not recovered: status NothingDone, a backlog of 3, 2 of 2 tasks"},
		"a backlog that stays": {
			func(_ *Incident, f *Facts) {
				for i := range f.Depths {
					f.Depths[i].Settled = false
				}
			}, "not recovered"},
		"a lost message": {
			func(_ *Incident, f *Facts) { f.Lost = &one }, "1 messages were lost"},
		"a message that was sent twice": {
			func(_ *Incident, f *Facts) { f.Twice = &one }, "1 messages were sent twice"},
		"no closing report": {
			func(_ *Incident, f *Facts) { f.Lost = nil }, "local printed no closing report"},
		"words that local did not print": {
			func(i *Incident, _ *Facts) { i.Expect.Printed = []string{"restarted"} }, `local did not print "restarted"`},
		"what the harness could not do": {
			func(_ *Incident, f *Facts) { f.Troubles = []string{"end it: 404"} }, "end it: 404"},
		"an incident that was never played": {
			func(_ *Incident, f *Facts) { *f = Facts{Troubles: []string{"start the system: no port"}} }, "start the system: no port; the incident was not played"},
	} {
		t.Run(name, func(t *testing.T) {
			i, f := good()
			tc.change(&i, &f)
			row := judge(i, f)
			if got := row.verdict(); !strings.HasPrefix(got, "wrong: ") || !strings.Contains(got, tc.want) {
				t.Errorf("verdict %q, want wrong: …%s…", got, tc.want)
			}
		})
	}
}

// setStatus changes what get said from one second after the cause to another.
func setStatus(f *Facts, status string, from, to float64) {
	for i, look := range f.Looks {
		if !look.Time.Before(at(from)) && !look.Time.After(at(to)) {
			f.Looks[i].Status = status
		}
	}
}

func setCounts(f *Facts, desired int, from, to float64) {
	for i, count := range f.Counts {
		if !count.Time.Before(at(from)) && !count.Time.After(at(to)) {
			f.Counts[i].Desired = desired
		}
	}
}

func TestWhatIsNotAskedForIsNotJudged(t *testing.T) {
	for name, change := range map[string]func(*Incident, *Facts){
		"a status that is OK, where no other is expected": func(i *Incident, f *Facts) {
			i.Expect.Status = nil
			setStatus(f, "OK", 0, 300)
		},
		"a count, where it may do anything": func(i *Incident, f *Facts) {
			i.Expect.Count = CountRule{}
			setCounts(f, 40, 60, 80)
		},
		"an alert that fires on, where it need not be resolved": func(i *Incident, f *Facts) {
			i.Expect.Resolves, f.Notices = false, f.Notices[:2]
		},
		"lost messages, where the cause destroys them": func(i *Incident, f *Facts) {
			three := 3
			i.Expect.Loses, f.Lost = "the queue is deleted with what it holds", &three
		},
		"a status that is still OK soon after the cause": func(_ *Incident, f *Facts) { setStatus(f, "OK", 0, 110) },
	} {
		t.Run(name, func(t *testing.T) {
			i, f := good()
			change(&i, &f)
			row := judge(i, f)
			if got := row.verdict(); got != "OK" {
				t.Errorf("verdict %q, want OK", got)
			}
		})
	}
}

func TestAlertsThatNobodyAskedForAreNamed(t *testing.T) {
	i, f := good()
	f.Notices = append(f.Notices, Notice{at(60), "MoreTasksDoNotHelp", true, "…"}, Notice{at(61), "MoreTasksDoNotHelp", true, "…"})
	row := judge(i, f)
	if got, want := row.verdict(), "OK (also notified: MoreTasksDoNotHelp)"; got != want {
		t.Errorf("verdict %q, want %q", got, want)
	}
}

func TestCountRules(t *testing.T) {
	for name, tc := range map[string]struct {
		rule                CountRule
		before, least, most int
		wrong               bool
	}{
		"held: no change":                            {Held(), 2, 2, 2, false},
		"held: one more":                             {Held(), 2, 2, 3, true},
		"never more: fewer":                          {NeverOut(), 4, 2, 4, false},
		"never more: one more":                       {NeverOut(), 4, 2, 5, true},
		"never fewer: more":                          {NeverIn(), 2, 2, 9, false},
		"never fewer: one fewer":                     {NeverIn(), 2, 1, 2, true},
		"at most: up to it":                          {AtMost(4), 2, 2, 4, false},
		"at most: above it":                          {AtMost(4), 2, 2, 5, true},
		"at most: fewer than before":                 {AtMost(4), 2, 1, 4, true},
		"reaches: it":                                {Reaches(4), 2, 2, 4, false},
		"reaches: less":                              {Reaches(4), 2, 2, 3, true},
		"left at 0: nobody raises it":                {LeftAt(0), 2, 0, 2, false},
		"left at 0: somebody raises it above before": {LeftAt(0), 2, 0, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.rule.wrong(tc.before, tc.least, tc.most); got != tc.wrong {
				t.Errorf("%d, then %d to %d: wrong is %v, want %v", tc.before, tc.least, tc.most, got, tc.wrong)
			}
		})
	}
}

func TestAShortIncidentEndsWhenAllIsSeen(t *testing.T) {
	i, f := good()
	for name, tc := range map[string]struct {
		after float64
		want  bool
	}{"before the notice": {35, false}, "after it": {45, true}} {
		t.Run(name, func(t *testing.T) {
			seen := f
			seen.Notices = slices.DeleteFunc(slices.Clone(f.Notices), func(n Notice) bool { return n.Time.After(at(tc.after)) })
			if got := complete(i.Expect, seen, at(tc.after)); got != tc.want {
				t.Errorf("complete is %v, want %v", got, tc.want)
			}
		})
	}
}
