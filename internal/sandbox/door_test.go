package sandbox_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/sandbox"
)

func says(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, name+" "+string(body))
	})
}

func TestTheDoorFindsTheService(t *testing.T) {
	t.Parallel()
	door := sandbox.AWS{Account: "123456789012", SQS: says("sqs"), CloudWatch: says("cloudwatch")}
	scope := func(service string) string {
		return "AWS4-HMAC-SHA256 Credential=AKID/20260105/us-east-1/" + service + "/aws4_request, SignedHeaders=host, Signature=0"
	}
	for name, tc := range map[string]struct {
		path, authorization, target, body string
		status                            int
		want                              string
	}{
		"by the signature":              {authorization: scope("sqs"), status: 200, want: "sqs "},
		"the signature before a target": {authorization: scope("monitoring"), target: "AmazonSQS.SendMessage", status: 200, want: "cloudwatch "},
		"by the target":                 {target: "AmazonSQS.SendMessage", status: 200, want: "sqs "},
		"by the path of rpc-v2":         {path: "/service/GraniteServiceVersion20100801/operation/ListMetrics", status: 200, want: "cloudwatch "},
		"by the action, body unread":    {body: "Action=PutMetricData&Version=1", status: 200, want: "cloudwatch Action=PutMetricData&Version=1"},
		"STS is answered here":          {authorization: scope("sts"), body: "Action=GetCallerIdentity", status: 200, want: "<Account>123456789012</Account>"},
		"health":                        {path: "/health", status: 200, want: "ok"},
		"what is not served, named":     {authorization: scope("s3"), status: 400, want: "does not serve the service s3; it serves monitoring, sqs, sts"},
		"a service that is left out":    {target: "AmazonEC2ContainerServiceV20141113.ListTasks", status: 400, want: "does not serve the service ecs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://sandbox"+tc.path, strings.NewReader(tc.body))
			request.Header.Set("Authorization", tc.authorization)
			request.Header.Set("X-Amz-Target", tc.target)
			answer := httptest.NewRecorder()
			door.ServeHTTP(answer, request)
			if answer.Code != tc.status || !strings.Contains(answer.Body.String(), tc.want) {
				t.Errorf("got %d %s, want %d %s", answer.Code, answer.Body, tc.status, tc.want)
			}
			if answer.Header().Get("X-Amzn-Requestid") == "" {
				t.Error("no request id")
			}
		})
	}
}
