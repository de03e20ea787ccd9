package ses

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/sandbox"
	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	standin "github.com/novaura/acs-operator/internal/sandbox/ses"
)

const person = "anna@example.com"

func letter() *message.Message {
	return &message.Message{ID: "01JD-a", Channel: message.Email, Type: message.Send, To: person, Subject: "Grüße", Body: "Your code is 1234"}
}

func settings(base string) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &base, Credentials: credentials.NewStaticCredentialsProvider("AKID", "s3cr3t", "")}
}

// files are attachments in memory.
type files map[string]string

func (f files) Fetch(_ context.Context, url string, _ int64) ([]byte, error) {
	if text, found := f[url]; found {
		return []byte(text), nil
	}
	return nil, &provider.Error{Provider: "s3", Class: provider.Permanent, Message: "an attachment does not exist"}
}

func open(t *testing.T, base string, change func(*Config)) *Client {
	t.Helper()
	c := Config{AWS: settings(base), From: "Novaura <hello@example.com>", Timeout: 30 * time.Second}
	if change != nil {
		change(&c)
	}
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAStoryWithSESsStandInBehindTheDoorOfAWS(t *testing.T) {
	t.Parallel()
	server := standin.New(standin.Options{})
	base := providertest.Start(t, sandbox.AWS{SES: server}).URL
	client := open(t, base, func(c *Config) { c.Attachments = files{"s3://bucket/terms.pdf": "%PDF"} })

	receipt, err := client.Send(t.Context(), letter())
	if err != nil || receipt.ID == "" {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if got := server.Recent(1)[0]; got.ID != receipt.ID || got.Key != "01JD-a" || got.To != person || got.Title != "Grüße" || got.Body != "Your code is 1234" {
		t.Errorf("got %+v", got)
	}

	full := letter()
	full.ID, full.HTML, full.Cc = "01JD-b", "<p>1234</p>", []redact.Personal{"ben@example.com"}
	full.Headers = map[string]string{"List-Unsubscribe": "<https://example.com/u/1>"}
	full.Attachments = []message.Attachment{{URL: "s3://bucket/terms.pdf"}}
	if _, err := client.Send(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if got := server.Recent(1)[0]; got.Key != "01JD-b" || got.To != person+", ben@example.com" || got.Title != "Grüße" || got.Body != "Your code is 1234" || len(got.Attachments) != 1 || got.Attachments[0] != "terms.pdf" {
		t.Errorf("as raw MIME: got %+v", got)
	}

	server.Control().Set(behavior.Behavior{LostAnswerRate: 1})
	_, err = client.Send(t.Context(), letter())
	providertest.Check(t, err, provider.InDoubt, person, "1234", "s3cr3t")
	if got := server.Effects("01JD-a"); got != 2 || server.Totals().Doubled != 1 {
		t.Errorf("%d effects, %+v: somebody sent again, or not at all", got, server.Totals())
	}
	server.Control().Set(behavior.Behavior{ErrorRate: 1})
	_, err = client.Send(t.Context(), letter())
	providertest.Check(t, err, provider.InDoubt, person)
	server.Control().Set(behavior.Behavior{RateLimit: 0.0001})
	_, _ = client.Send(t.Context(), letter())
	_, err = client.Send(t.Context(), letter())
	providertest.Check(t, err, provider.Throttled, person)
	bad := letter()
	bad.To = "nobody"
	_, err = client.Send(t.Context(), bad)
	providertest.Check(t, err, provider.Permanent, "nobody")

	account, err := sesv2.NewFromConfig(settings(base)).GetAccount(t.Context(), &sesv2.GetAccountInput{})
	if err != nil || !account.SendingEnabled || account.SendQuota.Max24HourSend <= 0 {
		t.Errorf("GetAccount: %+v, %v", account, err)
	}
}

func TestMisbehavingServers(t *testing.T) {
	t.Parallel()
	providertest.Misbehave(t, func(t *testing.T, base string) provider.Sender {
		return open(t, base, func(c *Config) { c.Timeout = time.Second })
	}, letter(), person, "1234", "s3cr3t")
}

func refused(status int, code, words string) http.HandlerFunc {
	body, _ := json.Marshal(map[string]string{"message": words})
	return providertest.Answer(status, string(body), "X-Amzn-Errortype", code, "Content-Type", "application/json")
}

func TestAnswersHaveClasses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		from    redact.Personal
		want    provider.Class
		wait    time.Duration
	}{
		"the rate is throttled":                           {handler: refused(429, "TooManyRequestsException", "rate"), want: provider.Throttled, wait: time.Second},
		"the rate in the older word too":                  {handler: refused(400, "Throttling", "Maximum sending rate exceeded."), want: provider.Throttled, wait: time.Second},
		"a day's quota is left alone for long":            {handler: refused(400, "Throttling", "Daily message quota exceeded."), want: provider.Throttled, wait: 10 * time.Minute},
		"content that is rejected is permanent":           {handler: refused(400, "MessageRejected", "virus"), want: provider.Permanent},
		"our sender that is not verified is our set-up's": {handler: refused(400, "MessageRejected", "Email address is not verified: "+person), want: provider.Config},
		"the message's own is the message's fault":        {handler: refused(400, "MessageRejected", "Email address is not verified: "+person), from: "x@example.org", want: provider.Permanent},
		"sending that is paused is our set-up's":          {handler: refused(400, "SendingPausedException", ""), want: provider.Config},
		"a suspended account is our set-up's":             {handler: refused(403, "AccountSuspendedException", ""), want: provider.Config},
		"an unknown configuration set is our set-up's":    {handler: refused(404, "NotFoundException", ""), want: provider.Config},
		"a role that may not is our set-up's":             {handler: refused(403, "AccessDeniedException", "arn:aws:iam"), want: provider.Config},
		"a role that may not for the message's own waits": {handler: refused(403, "AccessDeniedException", "arn:aws:iam"), from: "x@example.org", want: provider.Transient},
		"a token that has expired is our set-up's":        {handler: refused(403, "ExpiredTokenException", ""), want: provider.Config},
		"another 400 is permanent":                        {handler: refused(400, "WhateverException", person), want: provider.Permanent},
		"SES's own error is in doubt":                     {handler: refused(500, "InternalFailure", ""), want: provider.InDoubt},
		"an answer that names no message is in doubt":     {handler: providertest.Answer(200, "{}"), want: provider.InDoubt},
		"an answer that is no JSON is in doubt":           {handler: providertest.Answer(200, "<html>"), want: provider.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := letter()
			m.From = tc.from
			_, err := open(t, providertest.Start(t, tc.handler).URL, nil).Send(t.Context(), m)
			providertest.Check(t, err, tc.want, person, "1234")
			if got := provider.AsError(err).Credentials; got != (strings.Contains(name, "a role") || strings.Contains(name, "a token")) {
				t.Errorf("credentials refused: %t", got)
			}
			if got := provider.AsError(err).RetryAfter; got != tc.wait {
				t.Errorf("retry after %v, want %v", got, tc.wait)
			}
		})
	}
}

func TestOurIDTravelsAsATag(t *testing.T) {
	t.Parallel()
	var got struct {
		EmailTags []struct{ Name, Value string }
	}
	base := providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.EmailTags = nil
		_ = json.Unmarshal(body, &got)
		_, _ = w.Write([]byte(`{"MessageId":"1"}`))
	})).URL
	client := open(t, base, nil)
	m := letter()
	if _, err := client.Send(t.Context(), m); err != nil || len(got.EmailTags) != 1 || got.EmailTags[0].Name != message.Tag || got.EmailTags[0].Value != m.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, id := range []string{"order 42/ü", strings.Repeat("ü", 96)} {
		m.ID = id
		if _, err := client.Send(t.Context(), m); err != nil || len(got.EmailTags) != 1 || !tagValue.MatchString(got.EmailTags[0].Value) || len(got.EmailTags[0].Value) > maxTagValue {
			t.Fatalf("a key that SES does not take: got %+v, %v", got, err)
		}
		event := `{"eventType":"Send","mail":{"messageId":"1","tags":{"` + got.EmailTags[0].Name + `":["` + got.EmailTags[0].Value + `"]}}}`
		if read, err := message.Parse([]byte(event), "", "sqs-1", message.Email); err != nil || read.EventID != id {
			t.Errorf("its event names %+v, %v", read, err)
		}
	}
	m.ID = strings.Repeat("ü", 200)
	if _, err := client.Send(t.Context(), m); err != nil || len(got.EmailTags) != 0 {
		t.Errorf("a key too long for a tag: got %+v, %v", got, err)
	}
}

func TestWhatDoesNotLeave(t *testing.T) {
	t.Parallel()
	base := providertest.Start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a mail was sent") })).URL
	for name, tc := range map[string]struct {
		change func(*Config)
		m      func(*message.Message)
		want   provider.Class
	}{
		"without a sender":               {change: func(c *Config) { c.From = "" }, want: provider.Config},
		"with a header of its structure": {m: func(m *message.Message) { m.Headers = map[string]string{"bcc": "x@example.org"} }, want: provider.Permanent},
		"with a header that breaks out":  {m: func(m *message.Message) { m.Headers = map[string]string{"X-A": "a\r\nBcc: x@example.org"} }, want: provider.Permanent},
		"with attachments where none":    {m: func(m *message.Message) { m.Attachments = []message.Attachment{{URL: "s3://b/k"}} }, want: provider.Permanent},
		"with one that does not exist":   {change: func(c *Config) { c.Attachments = files{} }, m: func(m *message.Message) { m.Attachments = []message.Attachment{{URL: "s3://b/k"}} }, want: provider.Permanent},
		"without a text":                 {m: func(m *message.Message) { m.Body = "" }, want: provider.Permanent},
		"without credentials": {change: func(c *Config) {
			c.AWS.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, io.ErrUnexpectedEOF })
		}, want: provider.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := letter()
			if tc.m != nil {
				tc.m(m)
			}
			_, err := open(t, base, tc.change).Send(t.Context(), m)
			providertest.Check(t, err, tc.want, person, "1234")
		})
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}
