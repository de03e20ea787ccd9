package cloudwatch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"net/http/httptest"
)

func TestALineOfTheEmbeddedFormatBecomesMetrics(t *testing.T) {
	t.Parallel()
	minute := time.Now().Truncate(time.Minute)
	line := func(values string) string {
		return fmt.Sprintf(`{"level":"INFO","_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"ACS/Worker","Dimensions":[["Service","Queue"]],"Metrics":[{"Name":"Sent","Unit":"Count"}]}]},"Service":"w","Queue":"q",%s}`, minute.UnixMilli(), values)
	}
	for name, tc := range map[string]struct {
		lines   []string
		refused string  // what the error says
		sum     float64 // -1: no point
	}{
		"values add up":              {lines: []string{line(`"Sent":2`), line(`"Sent":3`)}, sum: 5},
		"a list is several samples":  {lines: []string{line(`"Sent":[1,2,4]`)}, sum: 7},
		"another line is let be":     {lines: []string{`{"msg":"hello"}`, `plain`}, sum: -1},
		"a metric without its value": {lines: []string{line(`"Other":1`)}, refused: "Sent: its value", sum: -1},
		"what is no JSON":            {lines: []string{`{"_aws":`}, refused: "read embedded metrics", sum: -1},
		"a time that is none":        {lines: []string{strings.Replace(line(`"Sent":2`), `"Timestamp":`, `"Timestamp":-`, 1)}, refused: "Timestamp", sum: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(Options{})
			var err error
			for _, l := range tc.lines {
				err = s.Ingest([]byte(l))
			}
			if (err == nil) != (tc.refused == "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
				t.Errorf("error %v, want %q", err, tc.refused)
			}
			listening := httptest.NewServer(s)
			defer listening.Close()
			c := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: aws.String(listening.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
			stats, err := c.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
				Namespace: aws.String("ACS/Worker"), MetricName: aws.String("Sent"), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum},
				Dimensions: []types.Dimension{{Name: aws.String("Queue"), Value: aws.String("q")}, {Name: aws.String("Service"), Value: aws.String("w")}},
				StartTime:  &minute, EndTime: aws.Time(minute.Add(time.Minute)),
			})
			if err != nil {
				t.Fatal(err)
			}
			got := -1.0
			if len(stats.Datapoints) > 0 {
				got = *stats.Datapoints[0].Sum
			}
			if got != tc.sum {
				t.Errorf("sum %v, want %v", got, tc.sum)
			}
		})
	}
}
