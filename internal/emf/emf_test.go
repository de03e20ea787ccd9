package emf

import (
	"strings"
	"testing"
	"time"
)

func TestALineIsWhatCloudWatchReads(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := Write(&out, time.UnixMilli(1767600000123), "ACS/Worker", []Dimension{{"Service", "worker"}, {"Queue", "sms"}},
		[]Metric{{"Processed", Count, 3}, {"OldestMessage", Seconds, 1.5}})
	want := `{"OldestMessage":1.5,"Processed":3,"Queue":"sms","Service":"worker","_aws":{"CloudWatchMetrics":[{"Namespace":"ACS/Worker",` +
		`"Dimensions":[["Service","Queue"]],"Metrics":[{"Name":"Processed","Unit":"Count"},{"Name":"OldestMessage","Unit":"Seconds"}]}],` +
		`"Timestamp":1767600000123}}` + "\n"
	if err != nil || out.String() != want {
		t.Errorf("got  %s\nwant %s\nerror %v", out.String(), want, err)
	}
}
