package scaling

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/config"
)

// TestTheNeedGrowsWithTheBacklogWhateverCameBefore: of two observations that
// differ in the backlog alone, after the same history, the larger one never
// needs fewer tasks. But for one that is taken for a dump, where the smaller one is
// taken for a higher rate, and but for one that tells the rate more surely, where the
// smaller one only bounds it and more is kept for the doubt: all else is not equal then.
func TestTheNeedGrowsWithTheBacklogWhateverCameBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.SampledFrom([]float64{0.5, 8, 60}).Draw(t, "per task"), func(s *config.ScalingSpec) {
			s.MaxTasks = 500
			s.Queues[0].ThroughputPerTask = rapid.SampledFrom([]float64{0, 0, 8}).Draw(t, "told")
			s.Queues[0].MaxAge = time.Duration(rapid.SampledFrom([]int{30, 60, 300}).Draw(t, "objective")) * time.Second
		})
		for range rapid.IntRange(0, 6).Draw(t, "stretches") {
			w.pass(rapid.IntRange(1, 40).Draw(t, "ticks"), rapid.Float64Range(0, 8).Draw(t, "load")*w.perTask)
			if rapid.IntRange(0, 2).Draw(t, "dumped") == 0 {
				size := math.Round(rapid.Float64Range(0, 400).Draw(t, "dump") * w.perTask)
				w.waiting, w.minuteIn = w.waiting+size, w.minuteIn+size
			}
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 2, 3}).Draw(t, "campaigns") {
			w.pass(40, w.perTask)
			w.waiting, w.minuteIn = w.waiting+300*w.perTask, w.minuteIn+300*w.perTask
		}
		w.pass(rapid.IntRange(0, 41).Draw(t, "since"), w.perTask)
		late := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 50, 150}).Draw(t, "late")) * time.Second
		now := w.now.Add(15 * time.Second)
		starting := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "starting")
		inFlight := math.Round(rapid.Float64Range(0, 1.2).Draw(t, "in flight") * w.perTask * float64(w.tasks))
		need := func(backlog float64) (d Decision, doubt float64) {
			obs := seen(w.tasks, backlog, 0, func(o *Observation, q *Queue) {
				o.Time, q.Sent, q.Deleted = now, w.sent, w.deleted
				o.Service.Running = max(0, w.tasks-starting)
				q.Visible.Time = now.Add(-late)
				q.InFlight.Value = inFlight
			})
			d, s := Decide(w.policy, obs, w.state, now)
			return d, s.Queues[queueName].Arrival.now(nil).Variance
		}
		low := math.Round(rapid.OneOf(rapid.Float64Range(0, 60), rapid.Float64Range(0, 8000), rapid.Float64Range(0.9, 1.1)).Draw(t, "backlog"))
		if low <= 1 {
			low = math.Round(low * w.waiting)
		}
		low = max(low, fewMessages+1) // of a queue that is next to empty arrivals are read otherwise
		high := low + math.Round(rapid.OneOf(rapid.Float64Range(1, 30), rapid.Float64Range(0, 8000)).Draw(t, "more"))
		fewer, doubt := need(low)
		if more, left := need(high); more.Need < fewer.Need && more.Queues[0].Arrival >= fewer.Queues[0].Arrival && left >= doubt {
			t.Fatalf("%v waiting need %d (%s)\n%v need %d (%s)", low, fewer.Need, fewer.Reason, high, more.Need, more.Reason)
		}
	})
}

// TestTheRuleGrowsWithTheBacklog: of two outlooks that differ in what waits alone,
// the one with more never needs fewer tasks.
func TestTheRuleGrowsWithTheBacklog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fleet{
			running: rapid.IntRange(0, 40).Draw(t, "running"), starting: rapid.SampledFrom([]int{0, 0, 1, 10}).Draw(t, "starting"),
			lag: rapid.Float64Range(5, 300).Draw(t, "lag"), share: rapid.Float64Range(0, 1).Draw(t, "share"), interval: 15,
		}
		o := outlook{
			objective: rapid.SampledFrom([]float64{30, 60, 600}).Draw(t, "objective"), perTask: rapid.SampledFrom([]float64{0.5, 8, 60}).Draw(t, "per task"),
			flight: rapid.SampledFrom([]float64{0, 0.3, 5, 40}).Draw(t, "flight"), live: rapid.Bool().Draw(t, "live"), dumped: rapid.Bool().Draw(t, "dumped"),
		}
		o.rate = rapid.Float64Range(0, 60).Draw(t, "rate") * o.perTask
		o.usual = rapid.Float64Range(0, 60).Draw(t, "usual") * o.perTask
		o.unsure = rapid.Float64Range(0, 5).Draw(t, "unsure") * o.perTask
		o.inFlight = rapid.Float64Range(0, 60).Draw(t, "in flight") * o.perTask
		o.waiting = rapid.OneOf(rapid.Float64Range(0, 20), rapid.Float64Range(0, 8000)).Draw(t, "waiting")
		more := o
		more.waiting += rapid.OneOf(rapid.Float64Range(0, 20), rapid.Float64Range(0, 8000)).Draw(t, "more")
		if one, other := o.verdict(f), more.verdict(f); other.tasks < one.tasks {
			t.Fatalf("%v waiting need %d, %v need %d", o.waiting, one.tasks, more.waiting, other.tasks)
		}
	})
}
