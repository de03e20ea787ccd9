package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/secret"
)

func TestAReceiverReadsTwiliosCredentialsFromTheSecretWhenItIsUsed(t *testing.T) {
	available, texts := false, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account, token, _ := r.BasicAuth()
		switch {
		case strings.Contains(r.Header.Get("X-Amz-Target"), "GetSecretValue") && !available:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"no"}`)
		case strings.Contains(r.Header.Get("X-Amz-Target"), "GetSecretValue"):
			_, _ = io.WriteString(w, `{"SecretString":"{\"account_sid\":\"AC1\",\"auth_token\":\"t\",\"from_number\":\"+15005550006\"}"}`)
		case account == "AC1" && token == "t":
			texts++
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"sid":"SM1","status":"queued"}`)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	flags := receiverFlags{TwilioCredentialsARN: "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio", TwilioBaseURL: server.URL}
	settings, err := awsclient.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sender, err := flags.sms(t.Context(), settings)
	if err != nil {
		t.Fatalf("a secret that cannot be read yet keeps the controller from starting: %v", err)
	}
	m := &message.Message{ID: "a", Channel: message.SMS, Type: message.Send, To: "+14155550123", Body: "fires"}
	if _, err := sender.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), "TWILIO_CREDENTIALS_ARN") {
		t.Errorf("got %v, want an error that names TWILIO_CREDENTIALS_ARN", err)
	}
	available = true
	if _, err := sender.Send(t.Context(), m); err != nil || texts != 1 {
		t.Errorf("got %v and %d texts, want one", err, texts)
	}
}

func TestAReceiversVariableIsReadFromItsSecretEachTime(t *testing.T) {
	held := `https://hooks.slack.example/1`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if held == "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"no"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": held})
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null",
		"SLACK_WEBHOOK_URL": "https://hooks.slack.example/start", "SLACK_WEBHOOK_URL_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:slack",
		"PAGERDUTY_ROUTING_KEY": "plain",
	} {
		t.Setenv(name, value)
	}
	settings, err := awsclient.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ rule, variable, held, want string }{
		{"plain text", "SLACK_WEBHOOK_URL", held, held},
		{"rotated, as JSON", "SLACK_WEBHOOK_URL", `{"slack_webhook_url":"https://hooks.slack.example/2"}`, "https://hooks.slack.example/2"},
		{"it cannot be read", "SLACK_WEBHOOK_URL", "", "https://hooks.slack.example/start"},
		{"there is no secret", "PAGERDUTY_ROUTING_KEY", held, "plain"},
	} {
		held = tc.held
		fresh := &named{settings: settings, kept: map[string]*secret.Secret{}} // as ten seconds later
		if got, known := fresh.lookup(tc.variable); got != tc.want || !known {
			t.Errorf("%s: got %q, %t; want %q", tc.rule, got, known, tc.want)
		}
	}
}
