package source

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	sandboxs3 "github.com/novaura/acs-operator/internal/sandbox/s3"
	sandboxssm "github.com/novaura/acs-operator/internal/sandbox/ssm"
)

func settings(t *testing.T, endpoint string) aws.Config {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	} {
		t.Setenv(name, value)
	}
	loaded, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func read(t *testing.T, src Source, want string) {
	t.Helper()
	files, err := src.Read(t.Context())
	if err != nil || len(files) != 1 || string(files[0].Data) != want || files[0].Name != src.String() {
		t.Errorf("got %v, %v; want %q", files, err, want)
	}
}

func TestAnObjectOfS3IsFollowedByItsETag(t *testing.T) {
	server := httptest.NewServer(sandboxs3.New("us-east-1"))
	t.Cleanup(server.Close)
	client := s3.NewFromConfig(settings(t, server.URL), func(o *s3.Options) { o.UsePathStyle = true })
	src, err := Open("s3://bucket/folder/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("no bucket: got %v", err)
	}
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("bucket")}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String("bucket"), Key: aws.String("folder/policy.yaml"), Body: strings.NewReader(text),
		}); err != nil {
			t.Fatal(err)
		}
		read(t, src, text)
		read(t, src, text) // not modified
	}
}

func TestAParameterOfSSMIsRead(t *testing.T) {
	server := httptest.NewServer(sandboxssm.New("123456789012", "us-east-1"))
	t.Cleanup(server.Close)
	client := ssm.NewFromConfig(settings(t, server.URL))
	src, err := Open("ssm:///acs/policy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "ParameterNotFound") {
		t.Errorf("no parameter: got %v", err)
	}
	for _, text := range []string{"one", "two"} {
		if _, err := client.PutParameter(t.Context(), &ssm.PutParameterInput{
			Name: aws.String("/acs/policy"), Value: aws.String(text), Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true),
		}); err != nil {
			t.Fatal(err)
		}
		read(t, src, text)
	}
}

func TestARemoteSourceIsLookedAtAgainAndAgain(t *testing.T) {
	t.Parallel()
	src, err := openRemote("s3://bucket/key")
	if err != nil {
		t.Fatal(err)
	}
	src.(*remote).every = time.Millisecond
	changed := src.Watch(t.Context())
	<-changed
	<-changed
}
