package simulate

import (
	"bytes"
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
)

// A Workload is a load to compare scalers on, with what is special about the
// service or the view meanwhile.
type Workload struct {
	Name, About string
	Rates       []float64 // messages/s, one a second
	Adjust      func(*Model)
}

const day = 24 * 3600 // seconds

// Workloads are the loads that the project compares on: synthetic ones, and
// four real days.
func Workloads() []Workload {
	return append(synthetic(), realDays()...)
}

func synthetic() []Workload {
	return []Workload{
		{"steady", "60/s all day", flat(day, 60), nil},
		{"night", "one message in four seconds", flat(day, 0.25), nil},
		{"daily", "a sine from 10/s to 110/s", curve(day, func(t float64) float64 { return 60 - 50*math.Cos(2*math.Pi*t/day) }), nil},
		{"step", "10/s, 100/s for six hours, 10/s", curve(day, func(t float64) float64 {
			return 10 + 90*between(t, 9*3600, 15*3600)
		}), nil},
		{"flash-crowd", "20/s, up to 300/s within three minutes, gone in an hour; twice", flashCrowds(), nil},
		{"hourly-dumps", "15/s, and 20,000 at each full hour", dumps(15, 20000, 3600), nil},
		{"noisy", "60/s times a lognormal of 0.3 that lasts minutes", noisy(60, 0.3, 0.85), nil},
		{"slowdown", "40/s; the provider takes two fifths of the rate for two hours, three times", flat(day, 40), slowdown},
		{"quiet-weekend", "two days of 5/s at most, asleep at night", curve(2*day, func(t float64) float64 {
			return max(0, 5*math.Sin(2*math.Pi*(t/day-0.3)))
		}), nil},
		{"metric-gaps", "the daily sine; nothing is told for 2 to 8 minutes, twice an hour", curve(day, func(t float64) float64 {
			return 60 - 50*math.Cos(2*math.Pi*t/day)
		}), gaps},
		{"slow-starts", "the daily sine with tasks that take two to three minutes to start", curve(day, func(t float64) float64 {
			return 60 - 50*math.Cos(2*math.Pi*t/day)
		}), func(m *Model) { m.Service.StartLag = [2]float64{120, 180} }},
		{"three-queues", "texts as in daily; beside them 100/s of mails, and 30,000 pushes every two hours", curve(day, func(t float64) float64 {
			return 60 - 50*math.Cos(2*math.Pi*t/day)
		}), func(m *Model) {
			m.beside(
				Load{Queue: queueSpec("mails", 2*time.Minute), Arrivals: flat(day, 100), PerTask: 20, Handling: 0.5},
				Load{Queue: queueSpec("pushes", 5*time.Minute), Arrivals: dumps(2, 30000, 2*3600), PerTask: 40, Handling: 0.2})
		}},
		{"competing", "texts as in step, and mails as a sine of four hours, for which a task has one processor", curve(day, func(t float64) float64 {
			return 10 + 90*between(t, 9*3600, 15*3600)
		}), func(m *Model) {
			m.Compete = true
			m.beside(Load{Queue: queueSpec("mails", time.Minute), Arrivals: curve(day, func(t float64) float64 {
				return 60 - 50*math.Cos(2*math.Pi*t/(4*3600))
			}), PerTask: 20, Handling: 0.5})
		}},
	}
}

// beside puts queues beside the first, into the policy too. Their Arrivals are
// rates, messages/s, that chance makes messages of.
func (m *Model) beside(loads ...Load) {
	policy := *m.Policy
	policy.Spec.Queues = slices.Clone(policy.Spec.Queues[:1])
	for i, load := range loads {
		load.Arrivals = Draw(load.Arrivals[:min(len(load.Arrivals), len(m.Arrivals))], m.Seed+uint64(i+1))
		m.Beside = append(m.Beside, load)
		policy.Spec.Queues = append(policy.Spec.Queues, load.Queue)
	}
	m.Policy = &policy
}

// queueSpec is a queue of which nothing is told but its objective.
func queueSpec(name string, maxAge time.Duration) config.QueueSpec {
	return config.QueueSpec{Name: name, MaxAge: maxAge}
}

func flat(seconds int, rate float64) []float64 {
	return slices.Repeat([]float64{rate}, seconds)
}

func curve(seconds int, at func(t float64) float64) []float64 {
	rates := make([]float64, seconds)
	for i := range rates {
		rates[i] = at(float64(i))
	}
	return rates
}

func between(t, from, to float64) float64 {
	if t >= from && t < to {
		return 1
	}
	return 0
}

func flashCrowds() []float64 {
	return curve(day, func(t float64) float64 {
		rate := 20.0
		for _, at := range []float64{8 * 3600, 17.3 * 3600} {
			if since := t - at; since > 0 {
				rate += 280 * min(1, since/180) * math.Exp(-max(0, since-180)/900)
			}
		}
		return rate
	})
}

func dumps(rate, size float64, every int) []float64 {
	rates := flat(day, rate)
	for i := every; i < len(rates); i += every {
		rates[i] += size
	}
	return rates
}

// noisy changes its level once a minute, and keeps a part of it.
func noisy(rate, spread, kept float64) []float64 {
	random := rand.New(rand.NewPCG(3, 3)) //nolint:gosec // an experiment has to be repeatable
	level := 0.0
	return curve(day, func(t float64) float64 {
		if int(t)%60 == 0 {
			level = kept*level + math.Sqrt(1-kept*kept)*spread*random.NormFloat64()
		}
		return rate * math.Exp(level)
	})
}

func slowdown(m *Model) {
	m.Service.Speed = curve(len(m.Arrivals), func(t float64) float64 {
		if math.Mod(t+4*3600, 8*3600) < 2*3600 {
			return 0.4
		}
		return 1
	})
}

func gaps(m *Model) {
	random := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // an experiment has to be repeatable
	for at := 900; at < len(m.Arrivals); at += 1800 {
		from := at + random.IntN(600)
		m.View.Gaps = append(m.View.Gaps, [2]int{from, from + 120 + random.IntN(360)})
	}
}

//go:embed traces/*.csv
var traces embed.FS

// realDays are four days of arrivals that really were; traces/SOURCES.md says
// whose. Each is scaled to a mean of 60/s.
func realDays() []Workload {
	about := map[string]string{
		"nyc_taxi": "taxi rides in New York, a marathon Sunday", "elb_requests": "requests to a load balancer",
		"twitter_amzn": "tweets that name Amazon", "twitter_aapl": "tweets that name Apple",
	}
	files, _ := traces.ReadDir("traces")
	days := make([]Workload, 0, len(files))
	for _, f := range files {
		data, err := traces.ReadFile("traces/" + f.Name())
		name := strings.TrimSuffix(f.Name(), path.Ext(f.Name()))
		if err != nil {
			continue
		}
		if rates, err := ReadTrace(bytes.NewReader(data)); err == nil {
			days = append(days, Workload{strings.ReplaceAll(name, "_", "-"), about[name], Scale(rates, 60), nil})
		}
	}
	return days
}

// ReadTrace reads lines of time and count: messages in the interval that
// begins then, or as many in any other unit. It returns rates in messages/s,
// one a second, along straight lines between the points.
func ReadTrace(in io.Reader) ([]float64, error) {
	lines, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	var at, counts []float64
	for i, line := range lines {
		if len(line) < 2 {
			return nil, fmt.Errorf("read trace: line %d has no count: want time,count", i+1)
		}
		count, countErr := strconv.ParseFloat(strings.TrimSpace(line[1]), 64)
		second, timeErr := traceTime(strings.TrimSpace(line[0]))
		if i == 0 && (countErr != nil || timeErr != nil) {
			continue // a heading
		}
		if countErr != nil || timeErr != nil || count < 0 {
			return nil, fmt.Errorf("read trace: line %d is %q: want a time (2006-01-02 15:04:05, RFC 3339 or Unix seconds) and a count of 0 or more", i+1, strings.Join(line, ","))
		}
		if len(at) > 0 && second <= at[len(at)-1] {
			return nil, fmt.Errorf("read trace: line %d is not after the line before it", i+1)
		}
		at, counts = append(at, second), append(counts, count)
	}
	if len(at) < 2 || at[len(at)-1]-at[0] > 60*day {
		return nil, fmt.Errorf("read trace: it has %d points: want at least two, within 60 days", len(at))
	}
	return interpolate(at, counts), nil
}

func traceTime(text string) (float64, error) {
	for _, layout := range []string{time.DateTime, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return float64(t.Unix()), nil
		}
	}
	return strconv.ParseFloat(text, 64)
}

func interpolate(at, counts []float64) []float64 {
	last := len(at) - 1
	rates := make([]float64, int(at[last]-at[0]+at[last]-at[last-1]))
	for i, j := 0, 0; i < len(rates); i++ {
		now := at[0] + float64(i)
		for j < last-1 && at[j+1] <= now {
			j++
		}
		length := at[j+1] - at[j]
		part := min(1, (now-at[j])/length)
		rates[i] = (counts[j] + part*(counts[j+1]-counts[j])) / length
	}
	return rates
}

// Scale makes the mean of the rates so many messages/s.
func Scale(rates []float64, mean float64) []float64 {
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	if sum == 0 {
		return rates
	}
	scaled := make([]float64, len(rates))
	for i, r := range rates {
		scaled[i] = r * mean * float64(len(rates)) / sum
	}
	return scaled
}
