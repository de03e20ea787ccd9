// Package secretsmanager stands in for AWS Secrets Manager: secrets with
// versions and staging labels, found by name, by ARN, and by an ARN without
// its random end. It encrypts nothing.
package secretsmanager

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// Server is the stand-in, an http.Handler that is safe for concurrent use.
type Server struct {
	prefix string // of ARNs
	ops    map[string]awswire.Op

	mu      sync.Mutex
	secrets map[string]*secret // by name
}

type secret struct {
	name, arn, description string
	created, changed       time.Time
	deleted                time.Time // when DeleteSecret was called; zero: it was not
	window                 time.Duration
	tags                   []tag
	versions               []*version // oldest first
}

type version struct {
	id      string
	text    *string
	binary  []byte
	created time.Time
	stages  []string
}

type tag struct{ Key, Value string }

// The staging labels that Secrets Manager itself moves.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

const maxValue = 65_536 // bytes of a secret's value

// New returns a Server without secrets.
func New(account, region string) *Server {
	s := &Server{prefix: "arn:aws:secretsmanager:" + region + ":" + account + ":secret:", secrets: map[string]*secret{}}
	s.ops = map[string]awswire.Op{
		"CreateSecret":         awswire.JSON(s.create),
		"GetSecretValue":       awswire.JSON(s.getValue),
		"PutSecretValue":       awswire.JSON(s.putValue),
		"UpdateSecret":         awswire.JSON(s.update),
		"DescribeSecret":       awswire.JSON(s.describe),
		"ListSecrets":          awswire.JSON(s.list),
		"ListSecretVersionIds": awswire.JSON(s.versionIDs),
		"DeleteSecret":         awswire.JSON(s.delete),
		"RestoreSecret":        awswire.JSON(s.restore),
		"TagResource":          awswire.JSON(s.tag),
		"UntagResource":        awswire.JSON(s.untag),
		"GetResourcePolicy":    awswire.JSON(s.policy),
	}
	return s
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { awswire.ServeJSON(w, r, s.ops) }

func notFound(what string) error {
	return &awswire.Error{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified " + what}
}

func invalidParameter(message string) error {
	return &awswire.Error{Code: "InvalidParameterException", Message: message}
}

func invalidRequest(message string) error {
	return &awswire.Error{Code: "InvalidRequestException", Message: message}
}

// find takes a name, an ARN, or an ARN without "-" and its last six
// characters. The caller holds the lock.
func (s *Server) find(given string) (*secret, error) {
	if given == "" {
		return nil, invalidParameter("You must provide a SecretId.")
	}
	name, isARN := strings.CutPrefix(given, s.prefix)
	found := s.secrets[name]
	if isARN && found == nil && len(name) > 7 {
		if whole := s.secrets[name[:len(name)-7]]; whole != nil && whole.arn == given {
			found = whole
		}
	}
	if found == nil {
		return nil, notFound("secret.")
	}
	if !found.deleted.IsZero() && time.Since(found.deleted) >= found.window {
		delete(s.secrets, found.name)
		return nil, notFound("secret.")
	}
	return found, nil
}

// live finds a secret that is not marked for deletion.
func (s *Server) live(given string) (*secret, error) {
	found, err := s.find(given)
	if err == nil && !found.deleted.IsZero() {
		return nil, invalidRequest("You can't perform this operation on the secret because it was marked for deletion.")
	}
	return found, err
}

// A value is what Create, Put and Update may give.
type value struct {
	ClientRequestToken string
	SecretString       *string
	SecretBinary       []byte
	VersionStages      []string
}

func (v value) given() bool { return v.SecretString != nil || v.SecretBinary != nil }

func (v value) check() error {
	size := len(v.SecretBinary)
	if v.SecretString != nil {
		size = len(*v.SecretString)
	}
	switch {
	case v.SecretString != nil && v.SecretBinary != nil:
		return invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case size == 0 || size > maxValue:
		return &awswire.Error{Code: "ValidationException", Message: "1 validation error detected: the secret value must have a length from 1 to 65536."}
	}
	return nil
}

// put adds a version; the same token with the same value changes nothing.
func (x *secret) put(v value, now time.Time) (*version, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	id := v.ClientRequestToken
	if id == "" {
		id = awswire.UUID()
	}
	for _, old := range x.versions {
		if old.id != id {
			continue
		}
		same := (old.text == nil) == (v.SecretString == nil) && (old.text == nil || *old.text == *v.SecretString) && string(old.binary) == string(v.SecretBinary)
		if !same {
			return nil, &awswire.Error{Code: "ResourceExistsException", Message: "You can't use ClientRequestToken " + id + " because that value is already in use for a version of secret " + x.arn + "."}
		}
		return old, nil
	}
	stages := v.VersionStages
	if len(stages) == 0 {
		stages = []string{current}
	}
	made := &version{id: id, text: v.SecretString, binary: v.SecretBinary, created: now}
	x.versions = append(x.versions, made)
	for _, stage := range stages {
		x.move(stage, made)
	}
	// What has no label is deprecated; AWS drops it in time, here at once.
	x.versions = slices.DeleteFunc(x.versions, func(v *version) bool { return len(v.stages) == 0 })
	x.changed = now
	return made, nil
}

// move puts a label on a version, off whichever had it; where AWSCURRENT was,
// AWSPREVIOUS goes.
func (x *secret) move(stage string, to *version) {
	for _, v := range x.versions {
		had := len(v.stages)
		v.stages = slices.DeleteFunc(v.stages, func(s string) bool { return s == stage })
		if stage == current && v != to && len(v.stages) < had {
			defer x.move(previous, v)
		}
	}
	to.stages = append(to.stages, stage)
}
