package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
)

// awsPollEvery is how often a source on AWS is looked at: an edit shows within
// a quarter of a minute, and a look costs a conditional GET.
const awsPollEvery = 15 * time.Second

// readTimeout bounds one look, the SDK's own repeats included.
const readTimeout = 15 * time.Second

// remote is an object of S3 or a parameter of SSM.
type remote struct {
	spec  string
	every time.Duration
	fetch func(ctx context.Context, settings aws.Config, known reading) (reading, error)

	mu       sync.Mutex
	settings *aws.Config // once they could be read: credentials are cached in them
	known    reading
}

// reading is what was read last, and the ETag or version of it.
type reading struct {
	data []byte
	mark string
}

var _ Source = (*remote)(nil)

func openRemote(spec string) (Source, error) {
	at, err := url.Parse(spec)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open policy source %q: it is no URL", spec)
	case at.Scheme == "s3" && (at.Host == "" || strings.Trim(at.Path, "/") == ""):
		return nil, fmt.Errorf("open policy source %q: write s3://BUCKET/KEY", spec)
	case at.Scheme == "ssm" && at.Host+strings.Trim(at.Path, "/") == "":
		return nil, fmt.Errorf("open policy source %q: write ssm:///NAME", spec)
	case at.Scheme == "ssm" && at.Host != "" && at.Path != "":
		return nil, fmt.Errorf("open policy source %q: a name with a / in it begins with one: write ssm:///%s%s", spec, at.Host, at.Path)
	case at.RawQuery != "" || at.Fragment != "":
		return nil, fmt.Errorf("open policy source %q: a ? or # ends the name; in a name write %%3F or %%23", spec)
	}
	r := &remote{spec: spec, every: awsPollEvery}
	if at.Scheme == "s3" {
		r.fetch = object(at.Host, strings.TrimPrefix(at.Path, "/"))
	} else {
		r.fetch = parameter(at.Host + at.Path)
	}
	return r, nil
}

// String implements Source.
func (r *remote) String() string { return r.spec }

// Read implements Source. What has not changed is not carried again.
func (r *remote) Read(ctx context.Context) ([]config.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := r.look(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("read policy source %s: it did not answer within %s: %w", r.spec, readTimeout, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read policy source %s: %w", r.spec, err)
	}
	return []config.File{{Name: r.spec, Data: r.known.data}}, nil
}

func (r *remote) look(ctx context.Context) error {
	if r.settings == nil {
		settings, err := awsclient.Load(ctx)
		if err != nil {
			return err
		}
		r.settings = &settings
	}
	now, err := r.fetch(ctx, *r.settings, r.known)
	if err == nil {
		r.known = now
	}
	return err
}

// Watch implements Source.
func (r *remote) Watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		tick := time.NewTicker(r.every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

// object reads an object of S3, unless its ETag is the known one.
func object(bucket, key string) func(context.Context, aws.Config, reading) (reading, error) {
	return func(ctx context.Context, settings aws.Config, known reading) (now reading, err error) {
		defer func() { err = awsclient.Explain(err, "s3:GetObject") }()
		client := s3.NewFromConfig(settings, func(o *s3.Options) {
			o.UsePathStyle = settings.BaseEndpoint != nil // a stand-in has no host a bucket
		})
		in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
		if known.mark != "" {
			in.IfNoneMatch = &known.mark
		}
		out, err := client.GetObject(ctx, in)
		if refused := smithy.APIError(nil); errors.As(err, &refused) && refused.ErrorCode() == "NotModified" {
			return known, nil
		}
		if err != nil {
			return now, err
		}
		defer func() { err = cmp.Or(err, out.Body.Close()) }()
		now.mark = aws.ToString(out.ETag)
		now.data, err = io.ReadAll(io.LimitReader(out.Body, config.MaxFileSize+1))
		return now, err
	}
}

// parameter reads a parameter of SSM, a SecureString decrypted.
func parameter(name string) func(context.Context, aws.Config, reading) (reading, error) {
	return func(ctx context.Context, settings aws.Config, _ reading) (now reading, err error) {
		out, err := ssm.NewFromConfig(settings).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
		if err != nil {
			return now, awsclient.Explain(err, "ssm:GetParameter")
		}
		if out.Parameter == nil {
			return now, fmt.Errorf("ssm:GetParameter: the answer has no parameter; the program tries again")
		}
		return reading{data: []byte(aws.ToString(out.Parameter.Value)), mark: fmt.Sprint(out.Parameter.Version)}, nil
	}
}
