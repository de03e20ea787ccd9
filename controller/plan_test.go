package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPlanForAQueueThatDoesNotExistFails(t *testing.T) {
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		switch action {
		case "DescribeServices":
			_ = json.NewEncoder(w).Encode(map[string]any{"services": []any{map[string]any{"status": "ACTIVE", "desiredCount": 2, "runningCount": 2}}})
		case "GetQueueUrl":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"QueueDoesNotExist","message":"The specified queue does not exist."}`)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	t.Cleanup(aws.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": aws.URL, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	misspelt := strings.Replace(storyPolicy, `{url: "URL/123456789012/q"`, `{name: sms-evnts`, 1)
	if err := os.WriteFile(policy, []byte(misspelt), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := controller(t, "", "plan", "--policy", policy)
	const want = `queue "sms-evnts" does not exist in region us-east-1 (sqs:GetQueueUrl answers QueueDoesNotExist): was it deleted, or is spec.queues[].name misspelt?`
	if code != 1 || out != "" || !strings.Contains(errOut, want) {
		t.Errorf("exit code %d, output %q, errors %s\nwant 1, no plan, and %s", code, out, errOut, want)
	}
}
