package cloudwatch

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// retention is how long points are kept. AWS keeps minutes for 15 days; a
	// sandbox of ten queues would hold some 2 million points then, and who
	// looks at it looks at today: 6 h are about 32,000.
	retention = 6 * time.Hour
	maxSeries = 10_000 // metrics at most, so that a producer in a loop cannot fill the memory
	// maxValues is how many distinct values of a minute are told apart for
	// percentiles; beyond, values are rounded to two significant digits.
	maxValues  = 500
	resolution = time.Minute
)

// series is one metric: its points by the start of their minute, in Unix
// seconds.
type series struct {
	id     metricID
	unit   string
	late   bool // published by AWS: hidden until the delay is over
	points map[int64]*point
}

// point is what a minute (or several, merged) held.
type point struct {
	count, sum, minimum, maximum float64

	// values counts each value, for percentiles. A statistic set with several
	// samples has lost them, and then there is no percentile, as in AWS.
	values map[float64]float64
	lost   bool
}

// keyOf names a metric: AWS tells metrics apart by namespace, name and the
// set of dimensions.
func keyOf(id metricID) string {
	dimensions := slices.Clone(id.Dimensions)
	slices.SortFunc(dimensions, func(a, b dimension) int { return cmp.Compare(a.Name, b.Name) })
	parts := []string{id.Namespace, id.MetricName}
	for _, d := range dimensions {
		parts = append(parts, d.Name, d.Value)
	}
	return strings.Join(parts, "\x00")
}

func single(value float64) *point {
	p := &point{}
	p.add(value, 1)
	return p
}

func (p *point) add(value, count float64) {
	set := point{count: count, sum: value * count, minimum: value, maximum: value, values: map[float64]float64{value: count}}
	p.merge(&set)
}

func (p *point) merge(o *point) {
	if o.count == 0 {
		return
	}
	if p.count == 0 {
		p.minimum, p.maximum = o.minimum, o.maximum
	}
	p.count += o.count
	p.sum += o.sum
	p.minimum = min(p.minimum, o.minimum)
	p.maximum = max(p.maximum, o.maximum)
	p.lost = p.lost || o.lost
	if p.values == nil {
		p.values = map[float64]float64{}
	}
	for value, count := range o.values {
		if _, known := p.values[value]; !known && len(p.values) >= maxValues {
			value = rounded(value)
		}
		p.values[value] += count
	}
}

// rounded keeps two significant digits.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-1)
	return math.Round(v/scale) * scale
}

// statistic reads a point; false when it cannot tell.
func (p *point) statistic(name string) (float64, bool) {
	switch name {
	case "SampleCount":
		return p.count, true
	case "Sum":
		return p.sum, true
	case "Average":
		return p.sum / p.count, true
	case "Minimum":
		return p.minimum, true
	case "Maximum":
		return p.maximum, true
	}
	rank, ok := percentile(name)
	if !ok || p.lost {
		return 0, false
	}
	return p.percentile(rank), true
}

// percentile is the smallest value that at least rank percent of the samples
// do not exceed.
func (p *point) percentile(rank float64) float64 {
	var seen float64
	values := make([]float64, 0, len(p.values))
	for value := range p.values {
		values = append(values, value)
	}
	slices.Sort(values)
	for _, value := range values {
		if seen += p.values[value]; seen >= p.count*rank/100 {
			return value
		}
	}
	return p.maximum
}

// upsert gives the series of id, made if there is room. The caller holds s.mu.
func (s *Server) upsert(id metricID, unit string, late bool) (*series, bool) {
	key := keyOf(id)
	if found, known := s.series[key]; known {
		return found, true
	}
	if len(s.series) >= maxSeries {
		return nil, false
	}
	made := &series{id: id, unit: unit, late: late, points: map[int64]*point{}}
	s.series[key] = made
	return made, true
}

func (m *series) add(at time.Time, p *point) {
	minute := at.Truncate(resolution).Unix()
	if m.points[minute] == nil {
		m.points[minute] = &point{}
	}
	m.points[minute].merge(p)
}

// sweep forgets what is older than retention, once a minute. The caller holds
// s.mu.
func (s *Server) sweep(now time.Time) {
	if now.Sub(s.swept) < resolution {
		return
	}
	s.swept = now
	oldest := now.Add(-retention).Unix()
	for key, m := range s.series {
		for minute := range m.points {
			if minute < oldest {
				delete(m.points, minute)
			}
		}
		if len(m.points) == 0 {
			delete(s.series, key)
		}
	}
}
