// Package simulate is a model of queues and the service that works them, second by
// second, that drives scaling.Decide as it is, and the autoscalers that people use
// instead, over the same arrivals: what each would have done, at which cost.
//
// It is pure and repeatable: the same Model gives the same Result. It imports
// scaling and config. Start with Run; Workloads has the loads to compare on,
// Baselines the others to compare with, Clairvoyant the least that would do.
package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// Model is one experiment.
type Model struct {
	Policy *config.ScalingPolicy // its queues: the first one, then those of Beside
	// Arrivals are messages that arrive on the first queue, one entry a second:
	// see Draw.
	Arrivals []float64
	Beside   []Load
	// Compete has the queues share the tasks: what one takes of them, the others
	// lack. Otherwise each has slots of its own.
	Compete bool
	Service Service
	View    View
	Seed    uint64
}

// Load is a queue beside the first, which the same tasks work.
type Load struct {
	Queue    config.QueueSpec
	Arrivals []float64 // one entry a second
	PerTask  float64   // messages/s that one task works off
	Handling float64   // seconds that a message is in flight
}

// loads are all queues, the first one as well, in the policy's order.
func (m Model) loads() []Load {
	first := Load{m.Policy.Spec.Queues[0], m.Arrivals, m.Service.PerTask, m.Service.Handling}
	return append([]Load{first}, m.Beside...)
}

// Service is how the tasks are.
type Service struct {
	PerTask  float64    // messages/s that one task works off
	Noise    float64    // its relative error from minute to minute
	Speed    []float64  // a factor of PerTask, one entry a second; nil: 1
	Ceiling  float64    // messages/s that the provider takes of all tasks; 0: unlimited
	Handling float64    // seconds that a message is in flight
	Prefetch float64    // messages that a task holds beside those it works on
	StartLag [2]float64 // seconds from asked for to running, evenly between
	Failing  [2]int     // from this second to that one no task starts
	Tasks    int        // running at the start
}

// View is how well a controller sees.
type View struct {
	Hybrid     bool       // depths live from SQS; otherwise all from CloudWatch
	CountError float64    // relative error of SQS's counts
	Phantoms   float64    // part of looks in which an empty queue shows a message or two
	Delay      [2]float64 // seconds after its minute in which CloudWatch shows a metric, each on its own
	Gaps       [][2]int   // seconds from..to in which nothing is told
	Filling    Filling
}

// Filling is how CloudWatch adds to the counts of a minute that it has shown.
type Filling struct {
	Minutes float64    // part of the minutes that it adds to
	First   [2]float64 // part of the count that it shows at first, evenly between
	Seconds int        // until it shows all
}

// DefaultService is a task that sends 8 messages/s and takes 45 to 90 s to
// start, as a Fargate task does.
func DefaultService() Service {
	return Service{PerTask: 8, Noise: 0.03, Handling: 1.25, StartLag: [2]float64{45, 90}, Tasks: 1}
}

// DefaultView is SQS and CloudWatch on an ordinary day.
func DefaultView(source string) View {
	return View{Hybrid: source != config.SourceCloudWatch, CountError: 0.02, Phantoms: 0.02, Delay: [2]float64{60, 180}}
}

// A Scaler says how many tasks there should be, once an interval.
type Scaler interface {
	Desired(look Look) int
}

// Look is what a scaler sees at a time.
type Look struct {
	Second      int
	Observation scaling.Observation
	Minutes     []Minute // what CloudWatch shows, oldest first
}

// Result is what came of it.
type Result struct {
	Name      string
	Messages  float64    // of all queues
	Late      float64    // part of the messages that waited longer than maxAge, on the queue that did worst
	Ages      [3]float64 // seconds waited on that queue: median, 99th percentile, longest
	TaskHours float64    // asked for, from then on
	Changes   int        // decisions that changed the count
	Reversals int        // changes in the other direction than the one before
	Peak      int
	Points    []Point // one an interval
	Decisions []scaling.Decision
}

// Point is the state of the world after a decision.
type Point struct {
	Second, Desired, Running int
	Backlog, Age             float64 // messages of all queues; seconds, of the oldest
}

// Epoch is when every experiment begins: a Monday.
var Epoch = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// Run lets a scaler follow the arrivals.
func Run(m Model, name string, s Scaler) Result {
	w := newWorld(m)
	w.result.Name = name
	interval := max(1, int(m.Policy.Spec.Interval.Seconds()))
	for second := range m.Arrivals {
		w.pass(second)
		if second%interval == 0 {
			w.set(second, s.Desired(w.look(second)))
		}
	}
	w.settle(len(m.Arrivals))
	return w.result
}

// batch is the messages of one second that wait.
type batch struct {
	second int
	count  float64
}

// world is the queues and the service as they are.
type world struct {
	Model

	queues   []*queue
	random   *rand.Rand // of the service
	pace     float64    // of this minute
	running  int
	starting []int    // seconds at which tasks run, in order asked for
	upward   int      // direction of the last change
	minutes  []Minute // what CloudWatch shows of all queues together
	seen     []int    // when each of minutes is shown
	result   Result
}

// queue is one queue, and what its slots in the tasks do.
type queue struct {
	Load

	noise    *rand.Rand // of the view
	waiting  []batch
	backlog  float64   // messages that no task has begun
	held     float64   // of those, the ones that a task has received
	working  []float64 // messages begun, a second each, oldest first
	worked   float64   // their sum
	inFlight float64
	received float64
	messages float64
	series   series
	ages     []float64 // messages by the seconds they waited
}

func newWorld(m Model) *world {
	w := &world{
		Model: m, running: m.Service.Tasks, pace: 1,
		random: rand.New(rand.NewPCG(m.Seed, 1)), //nolint:gosec // an experiment has to be repeatable
	}
	for i, load := range m.loads() {
		w.queues = append(w.queues, &queue{Load: load, noise: rand.New(rand.NewPCG(m.Seed, uint64(2+100*i)))}) //nolint:gosec // as above
	}
	return w
}

// pass lets one second pass: tasks come up, messages arrive, are worked off.
func (w *world) pass(second int) {
	for len(w.starting) > 0 && w.starting[0] <= second {
		w.starting = w.starting[1:]
		w.running++
	}
	if second%60 == 0 {
		w.pace = max(0.2, 1+w.Service.Noise*w.random.NormFloat64())
	}
	for _, q := range w.queues {
		q.arrive(second)
	}
	part := w.part(second)
	for _, q := range w.queues {
		q.work(second, w.capacity(second, q)*part, w.Service.Prefetch*float64(w.running))
	}
	count := w.running + len(w.starting)
	w.result.TaskHours += float64(count) / 3600
	w.result.Peak = max(w.result.Peak, count)
	w.count(second)
}

func (q *queue) arrive(second int) {
	if second >= len(q.Arrivals) || q.Arrivals[second] <= 0 {
		return
	}
	arrived := q.Arrivals[second]
	q.waiting = append(q.waiting, batch{second, arrived})
	q.backlog += arrived
	q.messages += arrived
}

// work has the tasks begin what they can. What they begin is in flight until it is
// done; what they hold beside that is in flight too, and waits.
func (q *queue) work(second int, capacity, prefetch float64) {
	begun := q.serve(second, capacity)
	done := begun
	if handling := int(math.Round(q.Handling)); handling > 0 {
		q.working = append(q.working, begun)
		q.worked += begun
		done = 0
		if len(q.working) > handling {
			done = q.working[0]
			q.working, q.worked = q.working[1:], q.worked-done
		}
	} else {
		q.worked = begun * q.Handling
	}
	before := q.held
	q.held = min(q.backlog, prefetch)
	q.received = max(0, begun+q.held-before)
	q.inFlight = max(0, q.worked) + q.held
	q.series.add(q, second, done)
}

// part is how much of its capacity each queue gets: all of it, unless they
// compete and ask for more than there is.
func (w *world) part(second int) float64 {
	if !w.Compete {
		return 1
	}
	asked := 0.0 // in parts of the tasks
	for _, q := range w.queues {
		if capacity := w.capacity(second, q); capacity > 0 {
			asked += min(1, q.backlog/capacity)
		}
	}
	return 1 / max(1, asked)
}

// capacity is what the tasks do of a queue in this second. The provider's ceiling
// and changes of speed are the first queue's.
func (w *world) capacity(second int, q *queue) float64 {
	capacity := float64(w.running) * q.PerTask * w.pace
	if q != w.queues[0] {
		return capacity
	}
	if second < len(w.Service.Speed) {
		capacity *= w.Service.Speed[second]
	}
	if w.Service.Ceiling > 0 {
		capacity = min(capacity, w.Service.Ceiling)
	}
	return capacity
}

// serve takes up to so many messages, the oldest first.
func (q *queue) serve(second int, capacity float64) (served float64) {
	for len(q.waiting) > 0 && served < capacity {
		oldest := &q.waiting[0]
		taken := math.Min(oldest.count, capacity-served)
		served += taken
		oldest.count -= taken
		q.leave(second-oldest.second+int(math.Round(q.Handling)), taken)
		if oldest.count < 1e-9 {
			q.waiting = q.waiting[1:]
		}
	}
	q.backlog = math.Max(0, q.backlog-served)
	return served
}

// leave notes messages that waited so long.
func (q *queue) leave(age int, count float64) {
	for len(q.ages) <= age {
		q.ages = append(q.ages, make([]float64, age+1-len(q.ages))...)
	}
	q.ages[age] += count
}

// settle closes the books: what still waits leaves at the end.
func (w *world) settle(end int) {
	for i, q := range w.queues {
		for _, b := range q.waiting {
			q.leave(end-b.second, b.count)
		}
		late, ages := lateness(q.ages, q.Queue.MaxAge.Seconds(), q.messages)
		if i == 0 || late > w.result.Late {
			w.result.Late, w.result.Ages = late, ages
		}
		w.result.Messages += q.messages
	}
}

// lateness reads a histogram of ages: the part above the objective, the
// median, the 99th percentile and the longest.
func lateness(ages []float64, objective, messages float64) (late float64, marks [3]float64) {
	if messages == 0 {
		return 0, marks
	}
	sum := 0.0
	for age, count := range ages {
		if float64(age) > objective {
			late += count
		}
		for i, part := range []float64{0.5, 0.99} {
			if sum <= part*messages && sum+count > part*messages {
				marks[i] = float64(age)
			}
		}
		if sum += count; count > 0.5 {
			marks[2] = float64(age)
		}
	}
	return late / messages, marks
}

// set asks for a count: more tasks start, those that start last go first.
func (w *world) set(second, tasks int) {
	count := w.running + len(w.starting)
	defer func() {
		point := Point{Second: second, Desired: tasks, Running: w.running}
		for _, q := range w.queues {
			point.Backlog += q.backlog + q.worked
			point.Age = max(point.Age, q.age(second))
		}
		w.result.Points = append(w.result.Points, point)
	}()
	if tasks == count {
		return
	}
	w.result.Changes++
	direction := 1
	if tasks < count {
		direction = -1
	}
	if w.upward == -direction {
		w.result.Reversals++
	}
	w.upward = direction
	for ; count < tasks; count++ {
		w.start(second)
	}
	if away := min(count-tasks, len(w.starting)); away > 0 {
		w.starting = w.starting[:len(w.starting)-away]
	}
	w.running = min(w.running, tasks)
}

// start asks for one task; they come up in the order they were asked for in.
func (w *world) start(second int) {
	low, high := w.Service.StartLag[0], w.Service.StartLag[1]
	at := second + int(low+w.random.Float64()*(high-low))
	if second >= w.Service.Failing[0] && at < w.Service.Failing[1] {
		at = w.Service.Failing[1] + at - second
	}
	if last := len(w.starting) - 1; last >= 0 {
		at = max(at, w.starting[last])
	}
	w.starting = append(w.starting, at)
}

func (q *queue) age(second int) float64 {
	if len(q.waiting) == 0 {
		return 0
	}
	return float64(second - q.waiting[0].second)
}

// Draw turns rates (messages/s, one a second) into arrivals by chance
// (Poisson).
func Draw(rates []float64, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // an experiment has to be repeatable
	arrivals := make([]float64, len(rates))
	for i, rate := range rates {
		arrivals[i] = poisson(random, rate)
	}
	return arrivals
}

func poisson(random *rand.Rand, mean float64) float64 {
	if mean > 30 {
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*random.NormFloat64()))
	}
	limit, count := math.Exp(-mean), 0.0
	for product := random.Float64(); product > limit; product *= random.Float64() {
		count++
	}
	return count
}
