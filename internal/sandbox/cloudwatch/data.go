package cloudwatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxQueries    = 500
	maxDatapoints = 100_800 // a GetMetricData call
	maxStatistics = 1_440   // a GetMetricStatistics call
)

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]{0,254}$`)

// A value is a point under one statistic, stamped with its period's start.
type value struct {
	at    time.Time
	value float64
}

// aggregate merges the minutes of [start, end) into periods counted from
// start, leaving out what is hidden at asOf. The caller holds s.mu.
func (s *Server) aggregate(id metricID, start, end, asOf time.Time, period time.Duration) map[int64]*point {
	m := s.series[keyOf(id)]
	if m == nil {
		return nil
	}
	merged := map[int64]*point{}
	for minute, p := range m.points {
		at := time.Unix(minute, 0)
		hidden := m.late && asOf.Before(at.Add(resolution+s.delay))
		if hidden || at.Before(start) || !at.Before(end) {
			continue
		}
		bucket := start.Add(at.Sub(start).Truncate(period)).Unix()
		if merged[bucket] == nil {
			merged[bucket] = &point{}
		}
		merged[bucket].merge(p)
	}
	return merged
}

func (s *Server) values(q *metricStat, start, end, asOf time.Time) []value {
	var found []value
	for bucket, p := range s.aggregate(q.Metric, start, end, asOf, time.Duration(q.Period)*time.Second) {
		if v, ok := p.statistic(q.Stat); ok {
			found = append(found, value{time.Unix(bucket, 0), v})
		}
	}
	slices.SortFunc(found, func(a, b value) int { return a.at.Compare(b.at) })
	return found
}

type withoutData struct{}

// WithoutData has GetMetricData answer a request of ctx as if the namespace had
// no datapoints.
func WithoutData(ctx context.Context, namespace string) context.Context {
	return context.WithValue(ctx, withoutData{}, namespace)
}

func (s *Server) getMetricData(ctx context.Context, in *getMetricDataInput) (*getMetricDataOutput, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	page, err := in.page(time.Now())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &getMetricDataOutput{MetricDataResults: []metricDataResult{}, Messages: []struct{}{}}
	skip, room := page.offset, page.size
	for _, q := range in.MetricDataQueries {
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		found := s.values(q.MetricStat, alignStart(in.StartTime.at), in.EndTime.at, page.asOf)
		if q.MetricStat.Metric.Namespace == ctx.Value(withoutData{}) {
			found = nil
		}
		if in.ScanBy != "TimestampAscending" {
			slices.Reverse(found)
		}
		skipped := min(skip, len(found))
		taken := min(room, len(found)-skipped)
		skip, room = skip-skipped, room-taken
		result := q.result(found[skipped : skipped+taken])
		if skipped+taken < len(found) {
			result.StatusCode = "PartialData"
			out.NextToken = page.next()
		}
		out.MetricDataResults = append(out.MetricDataResults, result)
	}
	return out, nil
}

func (q *metricDataQuery) result(found []value) metricDataResult {
	r := metricDataResult{
		ID: q.ID, Label: q.Label, StatusCode: "Complete",
		Timestamps: make([]timestamp, len(found)), Values: make([]float64, len(found)),
	}
	if r.Label == "" {
		r.Label = q.MetricStat.Metric.MetricName
	}
	for i, v := range found {
		r.Timestamps[i], r.Values[i] = timestamp{v.at}, v.value
	}
	return r
}

// alignStart rounds down to the minute, as AWS does for the last 15 days.
func alignStart(start time.Time) time.Time { return start.Truncate(resolution) }

func (in *getMetricDataInput) validate() error {
	switch {
	case len(in.MetricDataQueries) == 0:
		return missing("MetricDataQueries")
	case in.StartTime.at.IsZero():
		return missing("StartTime")
	case in.EndTime.at.IsZero():
		return missing("EndTime")
	case len(in.MetricDataQueries) > maxQueries:
		return invalid("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	case !in.StartTime.at.Before(in.EndTime.at):
		return invalid("The parameter StartTime must be less than the parameter EndTime.")
	case in.MaxDatapoints < 0 || in.MaxDatapoints > maxDatapoints:
		return invalid("The parameter MaxDatapoints must be between 1 and %d.", maxDatapoints)
	case in.ScanBy != "" && in.ScanBy != "TimestampAscending" && in.ScanBy != "TimestampDescending":
		return invalid("The parameter ScanBy must be TimestampAscending or TimestampDescending, not %q.", in.ScanBy)
	}
	seen := map[string]bool{}
	for _, q := range in.MetricDataQueries {
		if seen[q.ID] {
			return invalid("The values for parameter id in MetricDataQueries are not unique: %q.", q.ID)
		}
		seen[q.ID] = true
		if err := q.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (q *metricDataQuery) validate() error {
	switch {
	case !queryID.MatchString(q.ID):
		return invalid("The value %q for parameter MetricDataQueries.member.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", q.ID)
	case q.Expression != "":
		return invalid("Query %q has an Expression, which the sandbox does not evaluate; ask for its metrics with MetricStat.", q.ID)
	case q.MetricStat == nil:
		return invalid("Query %q must have either MetricStat or Expression.", q.ID)
	case q.MetricStat.Metric.Namespace == "" || q.MetricStat.Metric.MetricName == "":
		return invalid("Query %q must name a Namespace and a MetricName.", q.ID)
	case !validPeriod(q.MetricStat.Period):
		return invalid("Query %q: Period must be a multiple of 60 seconds, not %d.", q.ID, q.MetricStat.Period)
	case !validStatistic(q.MetricStat.Stat):
		return invalid("Query %q: the value %q for parameter MetricStat.Stat is not a valid statistic.", q.ID, q.MetricStat.Stat)
	}
	return nil
}

// validPeriod refuses AWS's high-resolution periods too: the sandbox keeps
// minutes.
func validPeriod(seconds int) bool { return seconds > 0 && seconds%60 == 0 && seconds <= 86_400 }

func validStatistic(name string) bool {
	switch name {
	case "SampleCount", "Sum", "Average", "Minimum", "Maximum":
		return true
	}
	_, ok := percentile(name)
	return ok
}

// percentile reads "p99.9".
func percentile(name string) (rank float64, ok bool) {
	digits, is := strings.CutPrefix(name, "p")
	rank, err := strconv.ParseFloat(digits, 64)
	return rank, is && err == nil && rank >= 0 && rank <= 100
}

// A page is a part of an answer. Its token carries the time of the first
// call, so that points which show meanwhile do not shift the pages.
type page struct {
	asOf         time.Time
	offset, size int // datapoints, over all queries
	request      uint64
}

func (in *getMetricDataInput) page(now time.Time) (page, error) {
	p := page{asOf: now, size: in.MaxDatapoints, request: in.fingerprint()}
	if p.size == 0 {
		p.size = maxDatapoints
	}
	if in.NextToken == "" {
		return p, nil
	}
	var asOf int64
	var request uint64
	raw, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return page{}, invalidToken()
	}
	if _, err := fmt.Sscanf(string(raw), "%d %d %d", &asOf, &p.offset, &request); err != nil || request != p.request || p.offset < 0 {
		return page{}, invalidToken()
	}
	p.asOf = time.Unix(0, asOf)
	return p, nil
}

func (p page) next() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %d", p.asOf.UnixNano(), p.offset+p.size, p.request))
}

// fingerprint tells requests apart: a token serves only the request that it
// was given for.
func (in *getMetricDataInput) fingerprint() uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, in.ScanBy, in.StartTime.at.UnixNano(), in.EndTime.at.UnixNano())
	for _, q := range in.MetricDataQueries {
		_, _ = fmt.Fprintln(h, q.ID, *q.MetricStat)
	}
	return h.Sum64()
}

func (s *Server) getMetricStatistics(_ context.Context, in *getMetricStatisticsInput) (*getMetricStatisticsOutput, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	id := metricID{in.Namespace, in.MetricName, in.Dimensions}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &getMetricStatisticsOutput{Label: in.MetricName, Datapoints: []datapoint{}}
	period := time.Duration(in.Period) * time.Second
	for bucket, p := range s.aggregate(id, alignStart(in.StartTime.at), in.EndTime.at, time.Now(), period) {
		d := datapoint{Timestamp: timestamp{time.Unix(bucket, 0)}, Unit: s.series[keyOf(id)].unit}
		d.fill(p, in)
		out.Datapoints = append(out.Datapoints, d)
	}
	// AWS promises no order; ours is by time.
	slices.SortFunc(out.Datapoints, func(a, b datapoint) int { return a.Timestamp.at.Compare(b.Timestamp.at) })
	return out, nil
}

func (d *datapoint) fill(p *point, in *getMetricStatisticsInput) {
	fields := map[string]**float64{
		"SampleCount": &d.SampleCount, "Sum": &d.Sum, "Average": &d.Average, "Minimum": &d.Minimum, "Maximum": &d.Maximum,
	}
	for _, name := range in.Statistics {
		v, _ := p.statistic(name)
		*fields[name] = &v
	}
	for _, name := range in.ExtendedStatistics {
		if v, ok := p.statistic(name); ok {
			if d.ExtendedStatistics == nil {
				d.ExtendedStatistics = map[string]float64{}
			}
			d.ExtendedStatistics[name] = v
		}
	}
}

func (in *getMetricStatisticsInput) validate() error {
	switch {
	case in.Namespace == "":
		return missing("Namespace")
	case in.MetricName == "":
		return missing("MetricName")
	case in.StartTime.at.IsZero():
		return missing("StartTime")
	case in.EndTime.at.IsZero():
		return missing("EndTime")
	case !validPeriod(in.Period):
		return invalidValue("The parameter Period must be a multiple of 60, not %d.", in.Period)
	case !in.StartTime.at.Before(in.EndTime.at):
		return invalidValue("The parameter StartTime must be less than the parameter EndTime.")
	case len(in.Statistics)+len(in.ExtendedStatistics) == 0:
		return missing("Statistics")
	}
	if n := int(in.EndTime.at.Sub(in.StartTime.at).Seconds()) / in.Period; n > maxStatistics {
		return invalidCombination("You have requested up to %d datapoints, which exceeds the limit of %d. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", n, maxStatistics)
	}
	for _, name := range in.Statistics {
		if _, extended := percentile(name); extended || !validStatistic(name) {
			return invalidValue("The value %q for parameter Statistics is not a valid statistic.", name)
		}
	}
	for _, name := range in.ExtendedStatistics {
		if _, ok := percentile(name); !ok {
			return invalidValue("The value %q for parameter ExtendedStatistics is not a percentile.", name)
		}
	}
	return nil
}
