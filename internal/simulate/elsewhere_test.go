package simulate

import (
	"math"
	"testing"
)

// elsewhere is a service that differs from the one that the workloads were
// looked at with, in all that the policy is not told.
type elsewhere struct {
	perTask       float64 // messages/s
	lag           [2]float64
	maxAge, every string
	countError    float64
	handling      float64
	delay         [2]float64
	gaps          [][2]int
	filling       Filling
	rate          func(t float64) float64 // messages/s, in tasks' worth
}

// TestWhatTheDecisionReachesElsewhere holds that nothing of it rests on tasks
// of 8 messages/s that start within 45 to 90 s, looked at every 15 s.
func TestWhatTheDecisionReachesElsewhere(t *testing.T) {
	wave := func(t float64) float64 { return 6 + 4*math.Sin(2*math.Pi*t/7200) }
	steps := func(t float64) float64 { return []float64{3, 7, 4, 9, 2, 6}[int(t/2400)%6] }
	for name, tc := range map[string]elsewhere{
		"slow tasks and a long objective":           {perTask: 0.5, lag: [2]float64{60, 120}, maxAge: "5m", every: "15s", rate: wave},
		"fast tasks and a short objective":          {perTask: 60, lag: [2]float64{15, 22}, maxAge: "30s", every: "10s", rate: wave},
		"starts as long as the objective":           {perTask: 8, lag: [2]float64{60, 66}, maxAge: "1m", every: "15s", rate: wave},
		"starts of three minutes":                   {perTask: 8, lag: [2]float64{150, 180}, maxAge: "5m", every: "15s", rate: steps},
		"a task that works eight seconds a message": {perTask: 8, lag: [2]float64{45, 90}, maxAge: "1m", every: "15s", handling: 8, rate: wave},
		"messages that take a minute each":          {perTask: 0.33, lag: [2]float64{45, 90}, maxAge: "5m", every: "15s", handling: 60, rate: wave},
		"counts that are a twentieth off":           {perTask: 8, lag: [2]float64{45, 90}, maxAge: "2m", every: "15s", countError: 0.05, rate: wave},
		"a look every half a minute":                {perTask: 8, lag: [2]float64{30, 45}, maxAge: "2m", every: "30s", rate: steps},
		"a look every three minutes":                {perTask: 8, lag: [2]float64{45, 90}, maxAge: "15m", every: "3m", rate: wave},
		"an objective of ten minutes":               {perTask: 20, lag: [2]float64{45, 90}, maxAge: "10m", every: "30s", rate: steps},
		"metrics that are five minutes late":        {perTask: 8, lag: [2]float64{45, 90}, maxAge: "2m", every: "15s", delay: [2]float64{200, 300}, rate: wave},
		"gaps of five minutes":                      {perTask: 8, lag: [2]float64{45, 90}, maxAge: "5m", every: "15s", gaps: [][2]int{{1800, 2100}, {5000, 5300}, {9000, 9300}}, rate: wave},
		"minutes that fill while they are shown":    {perTask: 8, lag: [2]float64{45, 90}, maxAge: "2m", every: "15s", filling: Filling{Minutes: 0.3, First: [2]float64{0.3, 0.95}, Seconds: 60}, rate: wave},
		"minutes that fill for two":                 {perTask: 8, lag: [2]float64{45, 90}, maxAge: "2m", every: "15s", filling: Filling{Minutes: 1, First: [2]float64{0.3, 0.95}, Seconds: 120}, rate: wave},
		"counts that are zero at first":             {perTask: 8, lag: [2]float64{45, 90}, maxAge: "2m", every: "15s", filling: Filling{Minutes: 1, Seconds: 20}, rate: wave},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reaches(t, tc, "hybrid", 1.15, 0.005)
			reaches(t, tc, "cloudwatch", 1.35, 0.02)
		})
	}
}

// reaches runs the decision on it, and holds what comes of it.
func reaches(t *testing.T, tc elsewhere, source string, most, latest float64) {
	t.Helper()
	s := setting(t, source)
	s.Policy = parsed(t, tc.maxAge, tc.every, source)
	s.Service.PerTask, s.Service.StartLag = tc.perTask, tc.lag
	s.Service.Handling = max(tc.handling, s.Service.Handling)
	s.View.Filling = tc.filling
	s.View.CountError, s.View.Gaps = max(tc.countError, s.View.CountError), tc.gaps
	if tc.delay[1] > 0 {
		s.View.Delay = tc.delay
	}
	m := s.Model(Workload{Rates: curve(4*3600, func(t float64) float64 { return tc.perTask * tc.rate(t) })})
	r, least := RunCore(m), Clairvoyant(m)
	if ratio := r.TaskHours / least.TaskHours; ratio > most || r.Late > latest {
		t.Errorf("%s: ratio %.3f, late %.4f, want at most %.3f, %.4f", source, ratio, r.Late, most, latest)
	}
}

// forgetful loses the state once an hour.
type forgetful struct{ *Core }

func (f forgetful) Desired(look Look) int {
	if look.Second%3600 == 0 {
		*f.Core = Core{policy: f.policy}
	}
	return f.Core.Desired(look)
}

// TestALostStateCostsLittle: late numbers tell of a time before the first look, and
// most of what is to be known again is in them.
func TestALostStateCostsLittle(t *testing.T) {
	t.Parallel()
	for source, most := range map[string]float64{"hybrid": 1.10, "cloudwatch": 1.15} {
		m := setting(t, source).Model(named(t, "daily", 12))
		r, least := Run(m, "forgetful", forgetful{NewCore(m.Policy)}), Clairvoyant(m)
		if ratio := r.TaskHours / least.TaskHours; ratio > most || r.Late > 0.01 {
			t.Errorf("%s: ratio %.3f, late %.4f, want at most %.2f, 0.01", source, ratio, r.Late, most)
		}
	}
}
