package cloudwatch

import (
	"context"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

const (
	maxDatums      = 1000 // a PutMetricData call
	maxDistinct    = 150  // Values of a datum
	maxDimensions  = 30   // of a metric
	listPage       = 500
	pastTolerance  = 14 * 24 * time.Hour
	aheadTolerance = 2 * time.Hour
)

func (s *Server) putMetricData(_ context.Context, in *putMetricDataInput) (*putMetricDataOutput, error) {
	now := time.Now()
	switch {
	case in.Namespace == "":
		return nil, missing("Namespace")
	case strings.HasPrefix(in.Namespace, "AWS/"), strings.HasPrefix(in.Namespace, ":"):
		return nil, invalidValue("The value %s for parameter Namespace is invalid.", in.Namespace)
	case len(in.MetricData) == 0:
		return nil, missing("MetricData")
	case len(in.MetricData) > maxDatums:
		return nil, invalidValue("The collection MetricData must not have a size greater than %d.", maxDatums)
	}
	for i, d := range in.MetricData {
		if err := d.validate("MetricData.member."+strconv.Itoa(i+1), now); err != nil {
			return nil, err // AWS takes all of a call or nothing
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	for _, d := range in.MetricData {
		m, ok := s.upsert(metricID{in.Namespace, d.MetricName, d.Dimensions}, d.Unit, false)
		if !ok {
			return nil, &awswire.Error{Code: "LimitExceededFault", Query: "LimitExceeded", Message: "The sandbox keeps 10,000 metrics at most."}
		}
		at := now
		if d.Timestamp != nil {
			at = d.Timestamp.at
		}
		m.add(at, d.point())
	}
	return &putMetricDataOutput{}, nil
}

func (d *metricDatum) point() *point {
	switch set := d.StatisticValues; {
	case set != nil:
		p := &point{count: set.SampleCount, sum: set.Sum, minimum: set.Minimum, maximum: set.Maximum}
		if p.lost = set.Minimum != set.Maximum; !p.lost {
			p.values = map[float64]float64{set.Minimum: set.SampleCount}
		}
		return p
	case d.Value != nil:
		return single(*d.Value)
	}
	p := &point{}
	for i, v := range d.Values {
		count := 1.0
		if len(d.Counts) > 0 {
			count = d.Counts[i]
		}
		p.add(v, count)
	}
	return p
}

func (d *metricDatum) validate(at string, now time.Time) error {
	given := 0
	for _, is := range []bool{d.Value != nil, len(d.Values) > 0, d.StatisticValues != nil} {
		if is {
			given++
		}
	}
	switch {
	case d.MetricName == "":
		return missing(at + ".MetricName")
	case given == 0:
		return missing(at + ".Value")
	case given > 1:
		return invalidCombination("The parameters %[1]s.Value, %[1]s.Values and %[1]s.StatisticValues are mutually exclusive and you have specified more than one.", at)
	case len(d.Values) > maxDistinct:
		return invalidValue("The collection %s.Values must not have a size greater than %d.", at, maxDistinct)
	case len(d.Counts) > 0 && len(d.Counts) != len(d.Values):
		return invalidValue("The parameters %[1]s.Values and %[1]s.Counts must be of the same size.", at)
	case d.StatisticValues != nil && (d.StatisticValues.SampleCount <= 0 || d.StatisticValues.Minimum > d.StatisticValues.Maximum):
		return invalidValue("The parameter %s.StatisticValues must have a SampleCount above 0 and a Minimum not above its Maximum.", at)
	case d.Timestamp != nil && (d.Timestamp.at.Before(now.Add(-pastTolerance)) || d.Timestamp.at.After(now.Add(aheadTolerance))):
		return invalidValue("The parameter %s.Timestamp must specify a time within the past two weeks and no more than two hours ahead.", at)
	}
	if err := validDimensions(at, d.Dimensions); err != nil {
		return err
	}
	for _, v := range d.numbers() {
		if math.IsNaN(v) || math.Abs(v) > math.Pow(2, 360) {
			return invalidValue("The value %v for parameter %s is invalid.", v, at)
		}
	}
	if slices.ContainsFunc(d.Counts, func(c float64) bool { return math.IsNaN(c) || c <= 0 }) {
		return invalidValue("The parameter %s.Counts must hold numbers above 0.", at)
	}
	return nil
}

func (d *metricDatum) numbers() []float64 {
	numbers := slices.Concat(d.Values, d.Counts)
	if d.Value != nil {
		numbers = append(numbers, *d.Value)
	}
	if set := d.StatisticValues; set != nil {
		numbers = append(numbers, set.SampleCount, set.Sum, set.Minimum, set.Maximum)
	}
	return numbers
}

func validDimensions(at string, dimensions []dimension) error {
	if len(dimensions) > maxDimensions {
		return invalidValue("The collection %s.Dimensions must not have a size greater than %d.", at, maxDimensions)
	}
	for _, d := range dimensions {
		if d.Name == "" || d.Value == "" {
			return invalidValue("The parameter %s.Dimensions must have a Name and a Value in every member.", at)
		}
	}
	return nil
}

// listMetrics lists by key, 500 a page; the token is the last key given.
// RecentlyActive is accepted and changes nothing: what is kept was active
// within hours.
func (s *Server) listMetrics(_ context.Context, in *listMetricsInput) (*listMetricsOutput, error) {
	after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return nil, invalidToken()
	}
	if in.RecentlyActive != "" && in.RecentlyActive != "PT3H" {
		return nil, invalidValue("The value %q for parameter RecentlyActive is not PT3H.", in.RecentlyActive)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key, m := range s.series {
		if key > string(after) && in.matches(m.id) && s.shows(m, time.Now()) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	out := &listMetricsOutput{Metrics: []metricID{}}
	for i, key := range keys {
		if i == listPage {
			out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(keys[i-1]))
			break
		}
		out.Metrics = append(out.Metrics, s.series[key].id)
	}
	return out, nil
}

// shows tells whether any point of m can be seen. The caller holds s.mu.
func (s *Server) shows(m *series, now time.Time) bool {
	for minute := range m.points {
		if !m.late || !now.Before(time.Unix(minute, 0).Add(resolution+s.delay)) {
			return true
		}
	}
	return false
}

func (in *listMetricsInput) matches(id metricID) bool {
	if (in.Namespace != "" && in.Namespace != id.Namespace) || (in.MetricName != "" && in.MetricName != id.MetricName) {
		return false
	}
	for _, f := range in.Dimensions {
		if !slices.ContainsFunc(id.Dimensions, func(d dimension) bool {
			return d.Name == f.Name && (f.Value == nil || d.Value == *f.Value)
		}) {
			return false
		}
	}
	return true
}
