// Package secret reads secrets from AWS Secrets Manager, and reads them again
// when whoever uses one is refused, so that a rotation needs no restart.
//
// It imports redact and the AWS SDK. Start with Open.
package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/novaura/acs-operator/internal/redact"
)

// restBetween is how long a secret is believed that was just read: a password
// that is wrong for good must not become a stream of calls.
const restBetween = 10 * time.Second

// readTimeout bounds one reading, the SDK's own repeats included.
const readTimeout = 15 * time.Second

// Secret is one secret of Secrets Manager. It is safe for concurrent use.
type Secret struct {
	api *secretsmanager.Client
	reference
	now func() time.Time

	mu      sync.Mutex
	value   Value
	read    bool
	refused bool
	readAt  time.Time
}

// Open names a secret by its ARN or name, with the settings of the AWS SDK. It
// reads nothing yet.
func Open(ctx context.Context, arn string) (*Secret, error) {
	config, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the AWS settings: %w", err)
	}
	return New(config, arn)
}

// New is Open with settings that were read before. The region is the ARN's,
// where it names one.
func New(config aws.Config, arn string) (*Secret, error) {
	if parts := strings.Split(arn, ":"); len(parts) > 3 && parts[3] != "" {
		config.Region = parts[3]
	}
	if config.Region == "" {
		return nil, errors.New("AWS_REGION is not set: name the region of the secrets")
	}
	return &Secret{api: secretsmanager.NewFromConfig(config), reference: referenceOf(arn), now: time.Now}, nil
}

// reference is a secret as ECS's task definitions name it: an ARN, and behind
// it, where they are wanted, :JSON-KEY:VERSION-STAGE:VERSION-ID
// (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html).
type reference struct{ arn, key, stage, version string }

func referenceOf(text string) reference {
	const ofARN, withReference = 7, 10
	parts := strings.Split(text, ":")
	if len(parts) != withReference {
		return reference{arn: text}
	}
	return reference{arn: strings.Join(parts[:ofARN], ":"), key: parts[ofARN], stage: parts[ofARN+1], version: parts[ofARN+2]}
}

// of is the part of a secret's text that is meant.
func (r reference) of(text string) (Value, error) {
	if r.key == "" {
		return Value(text), nil
	}
	fields, _ := Value(text).object()
	part, ok := fields[r.key].(string)
	if !ok || part == "" {
		return "", fmt.Errorf("read secret %s: it has no text under the key %q", r.arn, r.key)
	}
	return Value(part), nil
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// Get is the secret's value: read at first, and again after Refused, ten
// seconds after the last reading at the soonest. Where it cannot be read again
// the last value serves on.
func (s *Secret) Get(ctx context.Context) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read && (!s.refused || s.now().Sub(s.readAt) < restBetween) {
		return s.value, nil
	}
	s.readAt = s.now()
	value, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.value, s.read, s.refused = value, true, false
	case !s.read:
		return "", err
	}
	return s.value, nil
}

// Refused says that the value was refused by whom it was shown to.
func (s *Secret) Refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = true
}

func (s *Secret) fetch(ctx context.Context) (Value, error) {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out, err := s.api.GetSecretValue(bounded, &secretsmanager.GetSecretValueInput{
		SecretId: &s.arn, VersionStage: given(s.stage), VersionId: given(s.version),
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("read secret %s: %w", s.arn, err)
	case aws.ToString(out.SecretString) == "":
		return "", fmt.Errorf("read secret %s: it holds no text", s.arn)
	}
	return s.of(*out.SecretString)
}

// Value is what a secret holds: plain text, or a JSON object of texts.
type Value redact.Secret

// Field is one field of a value that is a JSON object, or the whole value where
// it is plain text. The object's names are understood in any case, with or
// without a prefix that says whose they are: TWILIO_AUTH_TOKEN is auth_token.
func (v Value) Field(name, prefix string) redact.Secret {
	fields, isObject := v.object()
	if !isObject {
		return redact.Secret(strings.TrimSpace(string(v)))
	}
	for key, value := range fields {
		if text, ok := value.(string); ok && strings.TrimPrefix(strings.ToLower(key), prefix) == name {
			return redact.Secret(text)
		}
	}
	return ""
}

// IsObject reports whether the value is a JSON object.
func (v Value) IsObject() bool {
	_, ok := v.object()
	return ok
}

func (v Value) object() (fields map[string]any, ok bool) {
	err := json.Unmarshal([]byte(v), &fields)
	return fields, err == nil && fields != nil
}
