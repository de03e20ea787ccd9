package mail

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/s3"
)

// bucket is a bucket with three objects, over the wire.
func bucket(t *testing.T) *s3.Client {
	t.Helper()
	server := httptest.NewServer(sandbox.New("us-east-1"))
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("mails")}); err != nil {
		t.Fatal(err)
	}
	for key, text := range map[string]string{"out/terms ü.pdf": "%PDF", "out/empty": "", "secret/keys": "hush"} {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("mails"), Key: &key, Body: strings.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

func TestAnAttachmentIsFetchedFromUnderAnAllowedPrefixAlone(t *testing.T) {
	t.Parallel()
	fetcher := S3{Client: bucket(t), Prefixes: []string{"s3://mails/out", "s3://none/"}}
	for name, tc := range map[string]struct {
		url  string
		want string
		err  provider.Class // InDoubt: none is wanted
	}{
		"an object":                             {url: "s3://mails/out/terms ü.pdf", want: "%PDF"},
		"an empty one":                          {url: "s3://mails/out/empty"},
		"one that is not there":                 {url: "s3://mails/out/none", err: provider.Permanent},
		"another folder":                        {url: "s3://mails/secret/keys", err: provider.Permanent},
		"a folder whose name only begins alike": {url: "s3://mails/outside/x", err: provider.Permanent},
		"the way up":                            {url: "s3://mails/out/../secret/keys", err: provider.Permanent},
		"another bucket":                        {url: "s3://mails-of-another/out/x", err: provider.Permanent},
		"a bucket that is not there":            {url: "s3://none/x", err: provider.Config},
		"the web":                               {url: "https://example.com/out/x", err: provider.Permanent},
		"a file":                                {url: "file:///etc/passwd", err: provider.Permanent},
		"the folder itself":                     {url: "s3://mails", err: provider.Permanent},
	} {
		got, err := fetcher.Fetch(t.Context(), tc.url, 100)
		if tc.err == provider.InDoubt {
			if err != nil || string(got) != tc.want {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			continue
		}
		if class := provider.AsError(err).Class; err == nil || class != tc.err {
			t.Errorf("%s: got %q, %v, want %s", name, got, err, tc.err)
		}
	}
	_, err := fetcher.Fetch(t.Context(), "s3://mails/out/terms ü.pdf", 3)
	providertest.Check(t, err, provider.Permanent, "terms")
}

// broken answers as S3 does on a bad day.
type broken struct {
	err  error
	body io.Reader
}

func (b broken) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return &s3.GetObjectOutput{Body: io.NopCloser(b.body)}, b.err
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, errors.New("reset") }

// Nothing was sent yet: what S3 does leaves no mail in doubt, and is no reason to
// give one up.
func TestWhatS3DoesLeavesNoMailInDoubt(t *testing.T) {
	t.Parallel()
	code := func(code string) error { return &smithy.GenericAPIError{Code: code} }
	for name, tc := range map[string]struct {
		s3   broken
		want provider.Class
	}{
		"an object that breaks off":    {broken{body: io.MultiReader(strings.NewReader("half"), cut{})}, provider.Transient},
		"no answer":                    {broken{err: errors.New("reset")}, provider.Transient},
		"S3's own error":               {broken{err: code("InternalError")}, provider.Transient},
		"S3 asks to slow down":         {broken{err: code("SlowDown")}, provider.Throttled},
		"a role that may not":          {broken{err: code("ExpiredToken")}, provider.Config},
		"a key that was taken away":    {broken{err: code("KMS.DisabledException")}, provider.Transient},
		"one that may not be there":    {broken{err: code("AccessDenied")}, provider.Transient}, // to a role that may not list
		"an object that was not there": {broken{err: code("NoSuchKey")}, provider.Permanent},
	} {
		composer := Composer{Provider: "test", From: "hello@example.com", Fetcher: S3{Client: tc.s3, Prefixes: []string{"s3://b/"}}}
		_, err := composer.Compose(t.Context(), &message.Message{ID: "a", To: "anna@example.com", Subject: "S", Body: "B", Attachments: []message.Attachment{{URL: "s3://b/k"}}})
		if class := provider.AsError(err).Class; err == nil || class != tc.want {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}
