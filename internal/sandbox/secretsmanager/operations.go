package secretsmanager

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

type secretID struct {
	SecretID string `json:"SecretId"`
}

// written is the answer of what writes a secret.
type written struct {
	ARN, Name     string
	VersionID     string   `json:"VersionId,omitempty"`
	VersionStages []string `json:",omitempty"`
}

type createInput struct {
	Name, Description string
	Tags              []tag
	value
}

func (s *Server) create(_ context.Context, in *createInput) (*written, error) {
	if in.Name == "" || len(in.Name) > 512 || strings.ContainsFunc(in.Name, notOfName) {
		return nil, &awswire.Error{Code: "ValidationException", Message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, err := s.find(in.Name); err == nil {
		if !old.deleted.IsZero() {
			return nil, invalidRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		return nil, &awswire.Error{Code: "ResourceExistsException", Message: "The operation failed because the secret " + in.Name + " already exists."}
	}
	now := time.Now()
	x := &secret{
		name: in.Name, arn: s.prefix + in.Name + "-" + rand.Text()[:6], description: in.Description,
		created: now, changed: now, tags: in.Tags,
	}
	out := &written{ARN: x.arn, Name: x.name}
	if in.given() {
		v, err := x.put(in.value, now)
		if err != nil {
			return nil, err
		}
		out.VersionID = v.id
	}
	s.secrets[in.Name] = x
	return out, nil
}

func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-/_+=.@!", r)
}

type getInput struct {
	secretID
	VersionID    string `json:"VersionId"`
	VersionStage string
}

type getOutput struct {
	ARN, Name     string
	VersionID     string  `json:"VersionId"`
	SecretString  *string `json:",omitempty"`
	SecretBinary  []byte  `json:",omitempty"`
	VersionStages []string
	CreatedDate   float64
}

func (s *Server) getValue(_ context.Context, in *getInput) (*getOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.live(in.SecretID)
	if err != nil {
		return nil, err
	}
	stage := in.VersionStage
	if stage == "" && in.VersionID == "" {
		stage = current
	}
	for _, v := range x.versions {
		if (in.VersionID == "" || in.VersionID == v.id) && (stage == "" || slices.Contains(v.stages, stage)) {
			return &getOutput{
				ARN: x.arn, Name: x.name, VersionID: v.id, SecretString: v.text, SecretBinary: v.binary,
				VersionStages: v.stages, CreatedDate: awswire.Epoch(v.created),
			}, nil
		}
	}
	if stage != "" {
		return nil, notFound("secret value for staging label: " + stage)
	}
	return nil, notFound("secret value for VersionId: " + in.VersionID)
}

type putInput struct {
	secretID
	value
}

func (s *Server) putValue(_ context.Context, in *putInput) (*written, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.live(in.SecretID)
	if err != nil {
		return nil, err
	}
	if !in.given() {
		return nil, invalidRequest("You must provide either SecretString or SecretBinary.")
	}
	v, err := x.put(in.value, time.Now())
	if err != nil {
		return nil, err
	}
	return &written{ARN: x.arn, Name: x.name, VersionID: v.id, VersionStages: v.stages}, nil
}

type updateInput struct {
	secretID
	Description *string
	value
}

func (s *Server) update(_ context.Context, in *updateInput) (*written, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.live(in.SecretID)
	if err != nil {
		return nil, err
	}
	out := &written{ARN: x.arn, Name: x.name}
	if in.given() {
		v, err := x.put(in.value, time.Now())
		if err != nil {
			return nil, err
		}
		out.VersionID = v.id
	}
	if in.Description != nil {
		x.description, x.changed = *in.Description, time.Now()
	}
	return out, nil
}

// description is a secret as DescribeSecret and ListSecrets show it.
type description struct {
	ARN, Name          string
	Description        string `json:",omitempty"`
	CreatedDate        float64
	LastChangedDate    float64
	DeletedDate        *float64            `json:",omitempty"`
	Tags               []tag               `json:",omitempty"`
	VersionIDsToStages map[string][]string `json:"VersionIdsToStages,omitempty"`
}

func (x *secret) describe() *description {
	d := &description{
		ARN: x.arn, Name: x.name, Description: x.description, Tags: x.tags,
		CreatedDate: awswire.Epoch(x.created), LastChangedDate: awswire.Epoch(x.changed), VersionIDsToStages: map[string][]string{},
	}
	for _, v := range x.versions {
		d.VersionIDsToStages[v.id] = v.stages
	}
	if !x.deleted.IsZero() {
		at := awswire.Epoch(x.deleted)
		d.DeletedDate = &at
	}
	return d
}

func (s *Server) describe(_ context.Context, in *secretID) (*description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	return x.describe(), nil
}

type listInput struct{ IncludePlannedDeletion bool }

type listOutput struct{ SecretList []*description }

func (s *Server) list(_ context.Context, in *listInput) (*listOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &listOutput{SecretList: []*description{}}
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		if x, err := s.find(name); err == nil && (x.deleted.IsZero() || in.IncludePlannedDeletion) {
			out.SecretList = append(out.SecretList, x.describe())
		}
	}
	return out, nil
}

type versionEntry struct {
	VersionID     string `json:"VersionId"`
	VersionStages []string
	CreatedDate   float64
}

type versionsOutput struct {
	ARN, Name string
	Versions  []versionEntry
}

func (s *Server) versionIDs(_ context.Context, in *secretID) (*versionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	out := &versionsOutput{ARN: x.arn, Name: x.name, Versions: []versionEntry{}}
	for _, v := range x.versions {
		out.Versions = append(out.Versions, versionEntry{v.id, v.stages, awswire.Epoch(v.created)})
	}
	return out, nil
}

type deleteInput struct {
	secretID
	RecoveryWindowInDays       *int
	ForceDeleteWithoutRecovery bool
}

type deleteOutput struct {
	ARN, Name    string
	DeletionDate float64
}

func (s *Server) delete(_ context.Context, in *deleteInput) (*deleteOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	days := 30
	if in.RecoveryWindowInDays != nil {
		days = *in.RecoveryWindowInDays
	}
	switch {
	case in.ForceDeleteWithoutRecovery && in.RecoveryWindowInDays != nil:
		return nil, invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	case days < 7 || days > 30:
		return nil, invalidParameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	case in.ForceDeleteWithoutRecovery:
		delete(s.secrets, x.name)
		return &deleteOutput{x.arn, x.name, awswire.Epoch(time.Now())}, nil
	}
	x.deleted, x.window = time.Now(), time.Duration(days)*24*time.Hour
	return &deleteOutput{x.arn, x.name, awswire.Epoch(x.deleted.Add(x.window))}, nil
}

func (s *Server) restore(_ context.Context, in *secretID) (*written, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	x.deleted = time.Time{}
	return &written{ARN: x.arn, Name: x.name}, nil
}

type tagInput struct {
	secretID
	Tags    []tag
	TagKeys []string
}

type empty struct{}

func (s *Server) tag(_ context.Context, in *tagInput) (*empty, error) {
	for _, t := range in.Tags {
		in.TagKeys = append(in.TagKeys, t.Key)
	}
	return s.untag(context.Background(), in)
}

// untag drops the keys that are named, and then adds the tags that are given.
func (s *Server) untag(_ context.Context, in *tagInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.live(in.SecretID)
	if err != nil {
		return nil, err
	}
	x.tags = slices.DeleteFunc(x.tags, func(t tag) bool { return slices.Contains(in.TagKeys, t.Key) })
	x.tags = append(x.tags, in.Tags...)
	return &empty{}, nil
}

type policyOutput struct{ ARN, Name string }

// policy is none: terraform asks for it.
func (s *Server) policy(_ context.Context, in *secretID) (*policyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	return &policyOutput{x.arn, x.name}, nil
}
