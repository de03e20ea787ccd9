package cloudwatch

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// A timestamp is a point in time in each protocol's own spelling: seconds
// since 1970 under tag 1 in CBOR, seconds since 1970 in JSON, ISO 8601 in
// Query.
type timestamp struct{ at time.Time }

var epochTime = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired}.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

func (t timestamp) MarshalCBOR() ([]byte, error)     { return epochTime.Marshal(t.at) }
func (t *timestamp) UnmarshalCBOR(data []byte) error { return cbor.Unmarshal(data, &t.at) }

func (t timestamp) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(t.at.UnixMilli())/1000, 'f', -1, 64), nil
}

func (t *timestamp) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		return t.UnmarshalText([]byte(text))
	}
	seconds, err := strconv.ParseFloat(string(data), 64)
	t.at = time.UnixMilli(int64(seconds * 1000)).UTC()
	return err
}

func (t timestamp) MarshalText() ([]byte, error) {
	return t.at.UTC().AppendFormat(nil, "2006-01-02T15:04:05.999Z"), nil
}

func (t *timestamp) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.Parse(layout, string(text)); err == nil {
			t.at = at.UTC()
			return nil
		}
	}
	return fmt.Errorf("timestamp %q is not ISO 8601", text)
}

// The shapes below have AWS's names, so that all three codecs read and write
// them without a table; see the CloudWatch API reference.

type dimension struct{ Name, Value string }

type metricID struct {
	Namespace  string
	MetricName string
	Dimensions []dimension `json:",omitempty"`
}

type metricStat struct {
	Metric metricID
	Period int // seconds
	Stat   string
	Unit   string `json:",omitempty"`
}

type metricDataQuery struct {
	ID         string `json:"Id"`
	Label      string
	Expression string
	MetricStat *metricStat
	ReturnData *bool
	Period     int
	AccountID  string `json:"AccountId"`
}

type getMetricDataInput struct {
	MetricDataQueries  []metricDataQuery
	StartTime, EndTime timestamp
	NextToken          string
	ScanBy             string
	MaxDatapoints      int
}

type metricDataResult struct {
	ID         string `json:"Id"`
	Label      string
	Timestamps []timestamp
	Values     []float64
	StatusCode string
}

type getMetricDataOutput struct {
	MetricDataResults []metricDataResult
	NextToken         string     `json:",omitempty"`
	Messages          []struct{} // of the whole call; the sandbox has none
}

type getMetricStatisticsInput struct {
	Namespace, MetricName string
	Dimensions            []dimension
	StartTime, EndTime    timestamp
	Period                int
	Statistics            []string
	ExtendedStatistics    []string
	Unit                  string
}

type datapoint struct {
	Timestamp          timestamp
	SampleCount        *float64           `json:",omitempty"`
	Average            *float64           `json:",omitempty"`
	Sum                *float64           `json:",omitempty"`
	Minimum            *float64           `json:",omitempty"`
	Maximum            *float64           `json:",omitempty"`
	Unit               string             `json:",omitempty"`
	ExtendedStatistics map[string]float64 `json:",omitempty"`
}

type getMetricStatisticsOutput struct {
	Label      string
	Datapoints []datapoint
}

type statisticSet struct{ SampleCount, Sum, Minimum, Maximum float64 }

type metricDatum struct {
	MetricName        string
	Dimensions        []dimension
	Timestamp         *timestamp
	Value             *float64
	StatisticValues   *statisticSet
	Values            []float64
	Counts            []float64
	Unit              string
	StorageResolution int
}

type putMetricDataInput struct {
	Namespace  string
	MetricData []metricDatum
}

type putMetricDataOutput struct{}

type dimensionFilter struct {
	Name  string
	Value *string
}

type listMetricsInput struct {
	Namespace, MetricName string
	Dimensions            []dimensionFilter
	NextToken             string
	RecentlyActive        string
}

type listMetricsOutput struct {
	Metrics   []metricID
	NextToken string `json:",omitempty"`
}
