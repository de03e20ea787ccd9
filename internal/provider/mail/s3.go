package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/provider"
)

// s3Getter is the one call of S3 that is made.
type s3Getter interface {
	GetObject(ctx context.Context, in *s3.GetObjectInput, options ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// S3 is a Fetcher of s3://bucket/key.
type S3 struct {
	Client s3Getter // an *s3.Client
	// Prefixes are those under which attachments may lie, each s3://bucket/ or
	// s3://bucket/folder/: whoever can put a message on the queue must not
	// read every object that the worker can.
	Prefixes []string
}

var _ Fetcher = S3{}

// Fetch implements Fetcher.
func (s S3) Fetch(ctx context.Context, address string, limit int64) ([]byte, error) {
	bucket, key, err := s.locate(address)
	if err != nil {
		return nil, err
	}
	object, err := s.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, refusedFetch(err)
	}
	defer func() { _ = object.Body.Close() }()
	var content bytes.Buffer
	switch n, err := io.Copy(&content, io.LimitReader(object.Body, limit+1)); {
	case err != nil:
		return nil, &provider.Error{Provider: "s3", Class: provider.Transient, Message: "read an attachment", Err: errors.New("the object broke off")}
	case n > limit:
		return nil, permanent(fmt.Sprintf("an attachment has more than %d bytes", limit))
	}
	return content.Bytes(), nil
}

// locate checks an address against the prefixes.
func (s S3) locate(address string) (bucket, key string, err error) {
	parsed, parseErr := url.Parse(address)
	if parseErr != nil || parsed.Scheme != "s3" || parsed.Host == "" || strings.Trim(parsed.Path, "/") == "" {
		return "", "", permanent("an attachment is not an s3://bucket/key URL")
	}
	for _, prefix := range s.Prefixes {
		if !strings.HasSuffix(prefix, "/") {
			prefix += "/" // s3://bucket must not allow s3://bucket-of-another
		}
		if strings.HasPrefix(address, prefix) {
			rest := strings.TrimPrefix(address, "s3://")
			bucket, key, _ = strings.Cut(rest, "/")
			return bucket, key, nil
		}
	}
	return "", "", permanent("an attachment is not under an allowed prefix: add its prefix to EMAIL_ATTACHMENT_PREFIXES, or move it")
}

func permanent(why string) *provider.Error {
	return &provider.Error{Provider: "s3", Class: provider.Permanent, Message: why}
}

// deniedWait is the shortest wait for an attachment that may come, or whose role
// may be put right.
const deniedWait = time.Minute

// refusedFetch types what S3 answered. Nothing was sent yet, so nothing is in
// doubt.
func refusedFetch(err error) *provider.Error {
	refused := &provider.Error{Provider: "s3", Class: provider.Transient, Message: "an attachment could not be read"}
	typed := smithy.APIError(nil)
	if !errors.As(err, &typed) {
		return refused
	}
	refused.Code = typed.ErrorCode()
	switch refused.Code {
	case "NoSuchKey", "NotFound":
		refused.Class, refused.Message = provider.Permanent, "an attachment does not exist"
	case "AccessDenied", "Forbidden":
		// S3's word for an object that is not there too, where the role may not
		// list the bucket. One such mail must not stop the others.
		refused.RetryAfter = deniedWait
		refused.Message = "an attachment does not exist, or the worker's role has no s3:GetObject on it: S3 says which only to a role with s3:ListBucket"
	case "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken":
		refused.Class, refused.Message = provider.Config, "attachments cannot be read: the worker's role needs s3:GetObject on them"
	case "SlowDown":
		refused.Class = provider.Throttled
	}
	return refused
}
