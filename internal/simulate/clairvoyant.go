package simulate

import "math"

// clairvoyantStep is the grid, in seconds, on which the least cost is reckoned.
const clairvoyantStep = 5

// Clairvoyant is the least that anyone could spend who knew every arrival: the
// smoothest work (a string pulled taut between what has arrived and what must
// be done by now) that leaves no message older than the objective, in
// fractions of tasks, each paid from being asked for, a mean start lag before
// it works, and kept through gaps that are shorter than a start. No real
// service can do better; few can do as well.
func Clairvoyant(m Model) Result {
	need, messages := m.leastTasks()
	lag := (m.Service.StartLag[0] + m.Service.StartLag[1]) / 2
	seconds, peak := 0.0, 0.0
	floor := float64(m.Policy.Spec.MinTasks)
	for _, tasks := range need {
		seconds += max(tasks, floor) * clairvoyantStep
		peak = max(peak, tasks)
	}
	for level := floor; level < peak; level++ {
		seconds += startsAt(need, level, lag)
	}
	return Result{Name: "clairvoyant", Messages: messages, TaskHours: seconds / 3600, Peak: int(math.Ceil(peak))}
}

// startsAt is what the starts of the task above level cost, in task-seconds:
// a lag each, or being kept idle where that is less.
func startsAt(need []float64, level, lag float64) (seconds float64) {
	const never = 1e9
	idle := never
	for _, tasks := range need {
		used := min(1, tasks-level)
		if used <= 0.02 {
			idle += clairvoyantStep
			continue
		}
		seconds += min(idle, lag)
		idle = 0
	}
	return seconds
}

// leastTasks is the tasks that are busy in each step, and the messages in all.
func (m Model) leastTasks() (need []float64, messages float64) {
	for i, load := range m.loads() {
		tasks, of := m.leastOf(load, i == 0)
		messages += of
		for step, n := range tasks {
			switch {
			case i == 0:
				need = append(need, n)
			case m.Compete:
				need[step] = min(need[step]+n, float64(m.Policy.Spec.MaxTasks))
			default:
				need[step] = max(need[step], n)
			}
		}
	}
	return need, messages
}

// leastOf is the tasks that are busy with one queue in each step of the taut
// string, and its messages.
func (m Model) leastOf(load Load, first bool) (need []float64, messages float64) {
	steps := (len(m.Arrivals) + clairvoyantStep - 1) / clairvoyantStep
	arrived := make([]float64, steps+1) // by the end of each step
	for i, n := range load.Arrivals[:min(len(load.Arrivals), len(m.Arrivals))] {
		arrived[i/clairvoyantStep+1] += n
	}
	for i := range steps {
		arrived[i+1] += arrived[i]
	}
	late := max(1, int(load.Queue.MaxAge.Seconds()/clairvoyantStep))
	due := make([]float64, steps+1)
	for i := late; i <= steps; i++ {
		due[i] = arrived[i-late]
	}
	due[steps] = arrived[steps]
	need = tautString(due, arrived)
	for i := range need {
		rate, perTask := need[i]/clairvoyantStep, load.PerTask
		if first {
			rate, perTask = m.limited(rate, i*clairvoyantStep)
		}
		need[i] = min(rate/perTask, float64(m.Policy.Spec.MaxTasks))
	}
	return need, arrived[steps]
}

// limited is a rate of the first queue that the provider takes, and what a task
// does then.
func (m Model) limited(rate float64, second int) (taken, perTask float64) {
	perTask = m.Service.PerTask
	if second < len(m.Service.Speed) {
		perTask *= m.Service.Speed[second]
	}
	if m.Service.Ceiling > 0 {
		rate = min(rate, m.Service.Ceiling)
	}
	return rate, perTask
}

// tautString returns the steps of the shortest curve between low and high,
// which start at the same value and end at the same value.
func tautString(low, high []float64) []float64 {
	last := len(low) - 1
	steps := make([]float64, last)
	start, value := 0, low[0]
	for start < last {
		// The steepest line that stays below high, the flattest above low.
		most, least := math.Inf(1), math.Inf(-1)
		mostAt, leastAt := start, start
		var end int
		var slope float64
		for i := start + 1; ; i++ {
			length := float64(i - start)
			up, down := (high[i]-value)/length, (low[i]-value)/length
			if down > most { // the string bends at high
				end, slope = mostAt, most
				break
			}
			if up < least { // the string bends at low
				end, slope = leastAt, least
				break
			}
			if up <= most {
				most, mostAt = up, i
			}
			if down >= least {
				least, leastAt = down, i
			}
			if i == last {
				end, slope = last, (low[last]-value)/length
				break
			}
		}
		for i := start; i < end; i++ {
			steps[i] = slope
		}
		value += slope * float64(end-start)
		start = end
	}
	return steps
}
