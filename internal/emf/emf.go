// Package emf writes metrics as CloudWatch's embedded metric format: lines of
// JSON on standard output, which CloudWatch Logs turns into metrics. There is
// no call to make, nothing to throttle and nothing to lose but a log line.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package emf

import (
	"encoding/json"
	"io"
	"time"
)

// The units that are used.
const (
	Count   = "Count"
	Seconds = "Seconds"
)

// Metric is one value.
type Metric struct {
	Name, Unit string
	Value      float64
}

// Dimension is a name and its value. Never a task, an address or an id: each
// value of a dimension is a metric of its own, and is paid for.
type Dimension struct{ Name, Value string }

// Write writes one line: metrics of a namespace, under all dimensions together.
func Write(w io.Writer, at time.Time, namespace string, dimensions []Dimension, metrics []Metric) error {
	type named struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []named
	}
	line, names := map[string]any{}, make([]string, len(dimensions))
	for i, d := range dimensions {
		names[i], line[d.Name] = d.Name, d.Value
	}
	described := make([]named, len(metrics))
	for i, m := range metrics {
		described[i], line[m.Name] = named{m.Name, m.Unit}, m.Value
	}
	line["_aws"] = map[string]any{
		"Timestamp": at.UnixMilli(), "CloudWatchMetrics": []directive{{namespace, [][]string{names}, described}},
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.Write(append(encoded, '\n'))
	return err
}
