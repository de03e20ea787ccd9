package cloudwatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// emfMark is in every line of the embedded metric format, and seldom in
// others.
var emfMark = []byte(`"_aws"`)

// emfDocument is "Specification: Embedded metric format" of the CloudWatch
// user guide; the values and dimensions are members beside _aws.
type emfDocument struct {
	AWS struct {
		Timestamp int64 // ms since 1970
		Metrics   []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		} `json:"CloudWatchMetrics"`
	} `json:"_aws"`
}

// Ingest takes a line of a log: what is in the embedded metric format becomes
// metrics, as CloudWatch Logs makes them; any other line is none of its
// business. An error is a line that says it is of the format and isn't: AWS
// drops it without a word, here who wrote it may learn.
func (s *Server) Ingest(line []byte) error {
	if !bytes.Contains(line, emfMark) {
		return nil
	}
	var document emfDocument
	members := map[string]json.RawMessage{}
	if err := errors.Join(json.Unmarshal(line, &document), json.Unmarshal(line, &members)); err != nil {
		return fmt.Errorf("read embedded metrics: %w", err)
	}
	at := time.UnixMilli(document.AWS.Timestamp)
	if document.AWS.Timestamp <= 0 {
		return errors.New("read embedded metrics: _aws.Timestamp is no time in ms")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	for _, directive := range document.AWS.Metrics {
		if directive.Namespace == "" {
			return errors.New("read embedded metrics: a directive without a Namespace")
		}
		for _, metric := range directive.Metrics {
			p, err := emfValue(members[metric.Name])
			if err != nil {
				return fmt.Errorf("read embedded metrics: %s: %w", metric.Name, err)
			}
			for _, set := range directive.Dimensions {
				id := metricID{Namespace: directive.Namespace, MetricName: metric.Name, Dimensions: emfDimensions(set, members)}
				if m, ok := s.upsert(id, metric.Unit, false); ok {
					m.add(at, p)
				}
			}
		}
	}
	return nil
}

// emfValue is a number, or a list of at most 100.
func emfValue(raw json.RawMessage) (*point, error) {
	var one float64
	if err := json.Unmarshal(raw, &one); err == nil {
		return single(one), nil
	}
	var many []float64
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, errors.New("its value is no number and no list of numbers")
	}
	p := &point{}
	for _, value := range many {
		p.add(value, 1)
	}
	return p, nil
}

func emfDimensions(names []string, members map[string]json.RawMessage) []dimension {
	dimensions := make([]dimension, 0, len(names))
	for _, name := range names {
		var value string
		if json.Unmarshal(members[name], &value) == nil && value != "" {
			dimensions = append(dimensions, dimension{name, value})
		}
	}
	return dimensions
}
