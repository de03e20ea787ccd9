package harness

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Terraform runs terraform (or TERRAFORM=tofu) on a copy of terraform/, so that
// nothing is left in the checkout. TF_PLUGIN_DIR, where it is set, is where the
// providers lie; otherwise init asks the registry.
type Terraform struct {
	Folder   string // the copy
	Endpoint string // what stands in for AWS
	Log      io.Writer
}

// NewTerraform copies terraform/ and the policy it uploads into folder, beside
// each other as in the checkout, and initialises it.
func NewTerraform(ctx context.Context, folder, endpoint string, log io.Writer) (*Terraform, error) {
	for _, part := range []string{"terraform", "config"} {
		if err := os.CopyFS(filepath.Join(folder, part), os.DirFS(part)); err != nil {
			return nil, fmt.Errorf("copy %s: %w; run this in the checkout", part, err)
		}
	}
	t := &Terraform{Folder: filepath.Join(folder, "terraform"), Endpoint: endpoint, Log: log}
	_, err := t.Run(ctx, t.InitArgs()...)
	return t, err
}

// InitArgs are those of an init without a backend.
func (t *Terraform) InitArgs() []string {
	args := []string{"init", "-backend=false", "-input=false", "-no-color"}
	if folder := os.Getenv("TF_PLUGIN_DIR"); folder != "" {
		args = append(args, "-plugin-dir="+folder)
	}
	return args
}

// ErrChanges is what a plan with -detailed-exitcode returns when it is not
// empty.
var ErrChanges = errors.New("the plan is not empty")

// Run runs one command and returns what it printed.
func (t *Terraform) Run(ctx context.Context, args ...string) (string, error) {
	return t.RunIn(ctx, t.Folder, args...)
}

// RunIn runs one command in another folder of the copy.
func (t *Terraform) RunIn(ctx context.Context, folder string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("TERRAFORM"), "terraform"), args...)
	cmd.Dir, cmd.Env = folder, Environment(t.Endpoint, "terraform", "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its providers
	cmd.WaitDelay = 30 * time.Second
	var out, both bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &both, t.Log), io.MultiWriter(&both, t.Log)
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 2 && args[0] == "plan" {
		return out.String(), ErrChanges
	}
	if err != nil {
		return out.String(), fmt.Errorf("terraform %s: %w\n%s", args[0], err, tail(both.Bytes()))
	}
	return out.String(), nil
}

func tail(output []byte) []byte {
	const last = 4000
	return output[max(0, len(output)-last):]
}

// A Plan is what terraform show -json tells of one.
type Plan struct {
	PlannedValues struct {
		RootModule struct {
			Resources []Resource `json:"resources"`
		} `json:"root_module"`
	} `json:"planned_values"`
	ResourceChanges []struct {
		Address string `json:"address"`
		Type    string `json:"type"`
		Change  struct {
			Actions []string `json:"actions"`
		} `json:"change"`
	} `json:"resource_changes"`
}

// A Resource is one planned resource.
type Resource struct {
	Type, Name string
	Values     struct {
		Role   string `json:"role"`
		Policy string `json:"policy"`
	} `json:"values"`
}

// Plan makes a plan with further arguments and reads it.
func (t *Terraform) Plan(ctx context.Context, args ...string) (*Plan, error) {
	file := filepath.Join(t.Folder, "check.tfplan")
	args = append([]string{"plan", "-input=false", "-no-color", "-out=" + file}, args...)
	if _, err := t.Run(ctx, args...); err != nil {
		return nil, err
	}
	quiet := *t
	quiet.Log = io.Discard
	text, err := quiet.Run(ctx, "show", "-json", file)
	if err != nil {
		return nil, err
	}
	plan := new(Plan)
	if err := json.Unmarshal([]byte(text), plan); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	return plan, nil
}

// Counts are how many resources a plan creates, updates, replaces, deletes.
func (p *Plan) Counts() map[string]int {
	counts := map[string]int{}
	for _, change := range p.ResourceChanges {
		action := change.Change.Actions[0]
		if len(change.Change.Actions) == 2 {
			action = "replace"
		}
		counts[action]++
	}
	return counts
}

// PredecessorVars writes the predecessor's tfvars and names the file.
func PredecessorVars(folder string) (string, error) {
	path := filepath.Join(folder, "predecessor.tfvars")
	return path, os.WriteFile(path, []byte(`environment            = "production"
image_tag              = "latest"
db_name                = "novaura"
db_user                = "novaura"
db_host                = "novaura.cluster-abcdefghijkl.us-east-1.rds.amazonaws.com"
db_password_arn        = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/db-password"
twilio_credentials_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/twilio"
django_secret_key_arn  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/django"
`), 0o600)
}
