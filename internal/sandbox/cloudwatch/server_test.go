package cloudwatch

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
)

func serve(t *testing.T) (string, *cloudwatch.Client) {
	t.Helper()
	listening := httptest.NewServer(New(Options{}))
	t.Cleanup(listening.Close)
	return listening.URL, cloudwatch.New(cloudwatch.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(listening.URL),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func put(t *testing.T, c *cloudwatch.Client, namespace string, at time.Time) error {
	t.Helper()
	_, err := c.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{
		Namespace: aws.String(namespace),
		MetricData: []types.MetricDatum{{
			MetricName: aws.String("Load"), Timestamp: &at,
			Values: []float64{1, 2, 10}, Counts: []float64{1, 98, 1},
			Dimensions: []types.Dimension{{Name: aws.String("B"), Value: aws.String("b")}, {Name: aws.String("A"), Value: aws.String("a")}},
		}},
	})
	return err
}

func TestWhatTheGoSDKPutsItReadsBack(t *testing.T) {
	_, c := serve(t)
	minute := time.Now().UTC().Truncate(time.Minute).Add(-5 * time.Minute)
	for i := range 3 {
		if err := put(t, c, "Test", minute.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	in := &cloudwatch.GetMetricDataInput{
		StartTime: &minute, EndTime: aws.Time(minute.Add(3 * time.Minute)), MaxDatapoints: aws.Int32(2),
		ScanBy: types.ScanByTimestampAscending,
		MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("a"), MetricStat: &types.MetricStat{
			Period: aws.Int32(60), Stat: aws.String("p99"),
			Metric: &types.Metric{Namespace: aws.String("Test"), MetricName: aws.String("Load"), Dimensions: []types.Dimension{
				{Name: aws.String("A"), Value: aws.String("a")}, {Name: aws.String("B"), Value: aws.String("b")}}},
		}}},
	}
	first, err := c.GetMetricData(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	r := first.MetricDataResults[0]
	if len(r.Values) != 2 || r.Values[0] != 2 || !r.Timestamps[0].Equal(minute) || r.StatusCode != types.StatusCodePartialData {
		t.Fatalf("first page is %+v", r)
	}
	in.NextToken = first.NextToken
	second, err := c.GetMetricData(t.Context(), in)
	if err != nil || len(second.MetricDataResults[0].Values) != 1 || second.NextToken != nil {
		t.Fatalf("second page is %+v, %v", second, err)
	}
	listed, err := c.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{RecentlyActive: types.RecentlyActivePt3h})
	if err != nil || len(listed.Metrics) != 1 {
		t.Fatalf("metrics are %+v, %v", listed, err)
	}
	stats, err := c.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("Test"), MetricName: aws.String("Load"), Dimensions: listed.Metrics[0].Dimensions,
		StartTime: &minute, EndTime: in.EndTime, Period: aws.Int32(180), Statistics: []types.Statistic{types.StatisticSum},
	})
	if err != nil || len(stats.Datapoints) != 1 || *stats.Datapoints[0].Sum != 3*207 {
		t.Fatalf("statistics are %+v, %v", stats, err)
	}
}

func TestTheNamespaceOfAWSIsRefused(t *testing.T) {
	_, c := serve(t)
	err := put(t, c, "AWS/SQS", time.Now())
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || !strings.HasPrefix(refusal.ErrorCode(), "InvalidParameterValue") {
		t.Fatalf("error is %v", err)
	}
}

func TestQueryAndJSONReadTheSamePoint(t *testing.T) {
	endpoint, _ := serve(t)
	form := url.Values{"Action": {"PutMetricData"}, "Namespace": {"Test"},
		"MetricData.member.1.MetricName": {"Load"}, "MetricData.member.1.Value": {"2.5"}}
	if status, body := post(t, endpoint, "", form.Encode()); status != http.StatusOK {
		t.Fatalf("put answers %d %s", status, body)
	}
	now := time.Now().UTC()
	form = url.Values{"Action": {"GetMetricData"},
		"StartTime": {now.Add(-time.Hour).Format(time.RFC3339)}, "EndTime": {now.Add(time.Hour).Format(time.RFC3339)},
		"MetricDataQueries.member.1.Id":                           {"a"},
		"MetricDataQueries.member.1.MetricStat.Metric.Namespace":  {"Test"},
		"MetricDataQueries.member.1.MetricStat.Metric.MetricName": {"Load"},
		"MetricDataQueries.member.1.MetricStat.Period":            {"60"},
		"MetricDataQueries.member.1.MetricStat.Stat":              {"Average"}}
	if _, body := post(t, endpoint, "", form.Encode()); !strings.Contains(body, "<Values><member>2.5</member></Values>") {
		t.Errorf("Query reads %s", body)
	}
	query := `{"StartTime":1,"EndTime":9999999999,"MetricDataQueries":[{"Id":"a","MetricStat":{"Period":60,"Stat":"Sum","Metric":{"Namespace":"Test","MetricName":"Load"}}}]}`
	if _, body := post(t, endpoint, "GraniteServiceVersion20100801.GetMetricData", query); !strings.Contains(body, `"Values":[2.5]`) {
		t.Errorf("JSON reads %s", body)
	}
	expression := `{"StartTime":1,"EndTime":2,"MetricDataQueries":[{"Id":"a","Expression":"b+1"}]}`
	if status, body := post(t, endpoint, "GraniteServiceVersion20100801.GetMetricData", expression); status != 400 || !strings.Contains(body, "ValidationError") {
		t.Errorf("an expression is answered %d %s", status, body)
	}
}

func post(t *testing.T, endpoint, target, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
