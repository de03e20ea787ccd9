package scaling

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/config"
)

// TestACorrectedMinuteIsLearnedFromAsIfItHadBeenToldSoAtFirst: what CloudWatch shows
// of a minute at first may be a part of it.
func TestACorrectedMinuteIsLearnedFromAsIfItHadBeenToldSoAtFirst(t *testing.T) {
	t.Parallel()
	told := func(first float64) (*world, *queueMemory) {
		w := newWorld(8, func(s *config.ScalingSpec) { s.MaxTasks = 5 })
		w.pass(40, 30)
		w.pass(11, 60) // more than five tasks do: they are busy
		w.change = func(_ *Observation, q *Queue) {
			part := func(s *Sample) *Sample { return &Sample{Value: s.Value * first, Time: s.Time, Period: s.Period} }
			q.Sent, q.Deleted = part(q.Sent), part(q.Deleted)
		}
		w.pass(1, 60)
		first = 1
		w.pass(1, 60)
		q := w.state.Queues[queueName]
		q.Filling = 0 // only the one knows that minutes fill
		return w, q
	}
	_, whole := told(1)
	for _, first := range []float64{0, 0.3, 0.9} {
		_, corrected := told(first)
		same := func(what string, got, want any) {
			t.Helper()
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(arrivalRate{}, level{}, serviceRate{}, helped{})); diff != "" {
				t.Errorf("%v of the counts first: %s (-want +got)\n%s", first, what, diff)
			}
		}
		same("service", corrected.Service, whole.Service)
		same("arrivals", corrected.Arrival.level, whole.Arrival.level)
	}
}

func TestCountsThatAreShownAsZeroAtFirstAreNotTakenForTasksThatGetNothingDone(t *testing.T) {
	t.Parallel()
	w := newWorld(8)
	w.change = func(_ *Observation, q *Queue) {
		if q.Sent == nil || w.now.Sub(q.Sent.Time) > 20*time.Second {
			return
		}
		q.Sent, q.Deleted = &Sample{Time: q.Sent.Time, Period: 60}, &Sample{Time: q.Deleted.Time, Period: 60}
	}
	for range 60 {
		w.pass(4, 60)
		if strings.Contains(w.last.Reason, "next to nothing") || strings.Contains(w.last.Reason, "nothing was finished") {
			t.Fatalf("at %s: %s", w.now.Format(time.TimeOnly), w.last.Reason)
		}
	}
	if got := w.state.Queues[queueName].Service.PerTask; got < 7.5 || got > 8.5 || w.tasks < 7 || w.tasks > 10 {
		t.Errorf("%d tasks of %.2f/s, want about 8 of 8/s: %s", w.tasks, got, w.last.Reason)
	}
}

func TestAMinuteThatIsToldLateIsLearnedFromBesideTheNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(8)
	w.pass(40, 30)
	at := w.state.Queues[queueName].Arrival.Minute
	w.change = func(o *Observation, q *Queue) {
		minute := func(back time.Duration, count float64) *Sample {
			return &Sample{Value: count, Time: time.UnixMilli(int64(at.add(back))).UTC(), Period: 60}
		}
		o.Time = o.Time.Add(3 * time.Minute)
		w.now = o.Time
		q.Sent = minute(3*time.Minute, 1800)
		q.Earlier = []Counts{{Sent: minute(2*time.Minute, 1700)}, {Sent: minute(time.Minute, 1750)}}
	}
	w.pass(1, 30)
	var sent []float32
	for _, m := range w.state.Queues[queueName].Minutes {
		if m.End > at && m.Sent >= 0 {
			sent = append(sent, m.Sent)
		}
	}
	if diff := cmp.Diff([]float32{1750, 1700, 1800}, sent); diff != "" {
		t.Errorf("counts since are wrong (-want +got)\n%s", diff)
	}
}

func TestMinutesThatFillForLongAreLearnedFromWhenTheyAreWhole(t *testing.T) {
	t.Parallel()
	for _, whole := range []time.Duration{time.Minute, 90 * time.Second, 2 * time.Minute, 200 * time.Second} {
		w := newWorld(8)
		told := func(end time.Time) *Sample {
			s := &Sample{Value: 4800, Time: end, Period: 60}
			if w.now.Sub(end) < whole {
				s.Value *= 0.6
			}
			return s
		}
		w.change = func(_ *Observation, q *Queue) {
			newest := w.now.Truncate(time.Minute)
			at := *q.Visible
			at.Time = newest // as CloudWatch tells it
			q.Visible, q.Sent = &at, told(newest)
			for ago := time.Minute; ago < 5*time.Minute; ago += time.Minute {
				q.Earlier = append(q.Earlier, Counts{Sent: told(newest.Add(-ago))})
			}
		}
		w.pass(120, 80)
		if got := w.state.Queues[queueName].Arrival.Rate; got < 72 || got > 88 {
			t.Errorf("whole after %s: %.0f/s, want 80/s: %s", whole, got, w.last.Reason)
		}
	}
}
