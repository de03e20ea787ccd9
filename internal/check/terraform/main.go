// Command terraform checks terraform/ as far as a stand-in for AWS goes:
// formatting, validation, tflint where it is installed, an apply from empty
// with the predecessor's tfvars, a second plan that must be empty, the shipped
// programs run against what was applied, a second environment beside the first
// (environments.go), a plan from the state of an earlier version that must
// replace no queue and no service, and a destroy. The README's tables must list
// every input and output; -write-readme writes them.
//
// It needs terraform (or TERRAFORM=tofu) and moto_server; TF_PLUGIN_DIR names
// where the provider lies when there is no registry. Run it with:
// make terraform-check. With -keep-state FILE it writes the state that the next
// version will be checked against.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/novaura/acs-operator/config/source"
	"github.com/novaura/acs-operator/internal/check/harness"
)

// keptState is the state of an earlier version, as moto had it.
const keptState = "terraform/testdata/earlier-state.json"

// keep are the types that hold messages, history or running tasks: an upgrade
// never replaces or deletes one.
var keep = map[string]bool{
	"aws_sqs_queue": true, "aws_ecs_service": true, "aws_ecs_cluster": true, "aws_cloudwatch_log_group": true, "aws_ecr_repository": true,
	"aws_iam_role": true, "aws_vpc": true, "aws_subnet": true,
}

func main() {
	keepState := flag.String("keep-state", "", "write the applied state to this file")
	writeReadme := flag.Bool("write-readme", false, "write the tables of terraform/README.md, and do nothing else")
	flag.Parse()
	if *writeReadme {
		if err := updateReadme("terraform"); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "terraform-check:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	began := time.Now()
	err := check(ctx, os.Stdout, *keepState)
	stop()
	_, _ = fmt.Fprintf(os.Stdout, "%-28s %s\n", "in all", time.Since(began).Round(time.Second))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "terraform-check:", err)
		os.Exit(1)
	}
}

// checker is one run: each step prints a line with what it found.
type checker struct {
	ctx       context.Context
	out       io.Writer
	folder    string
	vars      string
	policy    string // the file that is uploaded
	terraform *harness.Terraform
	endpoint  string
	log       io.Writer
}

func check(ctx context.Context, out io.Writer, keepState string) error {
	folder, err := os.MkdirTemp("", "terraform-check-")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(folder, "terraform.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	endpoint, stop, err := harness.StartMoto(ctx, folder)
	if err != nil {
		return err
	}
	defer stop()
	c := &checker{ctx: ctx, out: out, folder: folder, endpoint: endpoint, log: log}
	if c.vars, err = harness.PredecessorVars(folder); err != nil {
		return err
	}
	if c.policy, err = harness.CheckPolicy(folder); err != nil {
		return err
	}
	steps := []struct {
		name string
		run  func() (string, error)
	}{
		{"init", func() (string, error) {
			c.terraform, err = harness.NewTerraform(ctx, folder, endpoint, log)
			return "", err
		}},
		{"readme", c.readme}, {"fmt", c.format}, {"validate", c.validate}, {"validate the examples", c.validateExamples}, {"tflint", c.lint},
		{"wrong variables", c.wrongVariables},
		{"plan everything", c.planEverything},
		{"apply from empty", c.apply}, {"second plan", c.secondPlan}, {"keep the state", func() (string, error) { return c.keepState(keepState) }},
		{"the programs against it", func() (string, error) { return c.endToEnd(endpoint) }},
		{"plan after the run", c.secondPlan},
		{"a second environment", c.secondEnvironment},
		{"apply the webhooks' API", c.applyWebhooks},
		{"roll back", c.rollBack},
		{"destroy", c.destroy}, {"upgrade of a kept state", c.upgrade},
	}
	for _, step := range steps {
		began := time.Now()
		found, err := step.run()
		if err != nil {
			return fmt.Errorf("%s: %w (logs: %s)", step.name, err, folder)
		}
		_, _ = fmt.Fprintf(out, "%-28s %4.0f s  %s\n", step.name, time.Since(began).Seconds(), found)
	}
	return os.RemoveAll(folder)
}

func (c *checker) format() (string, error) {
	listed, err := c.terraform.Run(c.ctx, "fmt", "-check", "-recursive", "-list=true")
	return strings.TrimSpace(listed), err
}

func (c *checker) validate() (string, error) {
	_, err := c.terraform.Run(c.ctx, "validate", "-no-color")
	return "valid", err
}

// validateExamples validates each, and plans the one that creates everything:
// there most values are unknown until the apply.
func (c *checker) validateExamples() (string, error) {
	folders, err := filepath.Glob(filepath.Join(c.terraform.Folder, "examples", "*", "main.tf"))
	if err != nil {
		return "", err
	}
	for _, file := range folders {
		folder := filepath.Dir(file)
		if _, err := c.terraform.RunIn(c.ctx, folder, c.terraform.InitArgs()...); err != nil {
			return "", err
		}
		if _, err := c.terraform.RunIn(c.ctx, folder, "validate", "-no-color"); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(folder), err)
		}
	}
	_, err = c.terraform.RunIn(c.ctx, filepath.Join(c.terraform.Folder, "examples", "complete"), "plan", "-input=false", "-no-color", "-var=image_tag=v1.0.0")
	return fmt.Sprintf("%d valid, complete can be planned", len(folders)), err
}

// lint says so where tflint is not installed, rather than passing silently.
func (c *checker) lint() (string, error) {
	program, err := exec.LookPath("tflint")
	if err != nil {
		return "not installed, not run: go install github.com/terraform-linters/tflint@latest", nil
	}
	cmd := exec.CommandContext(c.ctx, program, "--no-color", "--recursive")
	cmd.Dir = c.terraform.Folder
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}
	return "no findings", nil
}

// planEverything plans with every option on, as far as a stand-in lets see.
func (c *checker) planEverything() (string, error) {
	plan, err := c.terraform.Plan(c.ctx, "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy, "-var=emulated=false", "-var=webhooks=true", "-var=vpc_endpoints=true", "-var=policy_store=s3",
		"-var=container_insights=enabled", "-var=monthly_budget_usd=100", `-var=alarm_emails=["oncall@example.com"]`,
		"-var=kms_key_arn=arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000",
		"-var=db_security_group_id=sg-0123456789abcdef0", "-var=smtp_ports=[587]",
		`-var=producer_arns=["arn:aws:iam::999999999999:role/shop"]`, `-var=ses_identity_arns=["arn:aws:ses:us-east-1:123456789012:identity/example.com"]`,
		`-var=alert_topic_arns=["arn:aws:sns:us-east-1:123456789012:oncall"]`, `-var=alert_ses_identity_arns=["arn:aws:ses:us-east-1:123456789012:identity/alerts.example.com"]`,
		`-var=attachment_prefixes=["s3://example-attachments/mails/"]`,
		`-var=worker_services={sms={worker_type="sms"},email={worker_type="email"},push={worker_type="push",cpu=512,memory=1024}}`)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(plan.Counts()), nil
}

func (c *checker) apply() (string, error) {
	return c.last("Apply complete!", "apply", "-auto-approve", "-input=false", "-no-color", "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy)
}

// applyWebhooks makes what moto has of them: the API, not SES's events.
func (c *checker) applyWebhooks() (string, error) {
	return c.last("Apply complete!", "apply", "-auto-approve", "-input=false", "-no-color", "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy,
		"-var=webhooks=true", "-target=aws_apigatewayv2_route.twilio", "-target=aws_apigatewayv2_stage.webhooks")
}

// destroy does as docs/deploy.md says: it gives up the queues first, which
// stay with their messages.
func (c *checker) destroy() (string, error) {
	if _, err := c.terraform.Run(c.ctx, "state", "rm", "-no-color", "aws_sqs_queue.events", "aws_sqs_queue.dlq"); err != nil {
		return "", err
	}
	return c.last("Destroy complete!", "destroy", "-auto-approve", "-input=false", "-no-color", "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy)
}

// last runs a command and returns the line of its output that begins so.
func (c *checker) last(prefix string, args ...string) (string, error) {
	output, err := c.terraform.Run(c.ctx, args...)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("it did not say %q", prefix)
}

func (c *checker) secondPlan() (string, error) {
	output, err := c.terraform.Run(c.ctx, "plan", "-input=false", "-no-color", "-detailed-exitcode", "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy)
	if errors.Is(err, harness.ErrChanges) {
		return "", fmt.Errorf("%w:\n%s", err, output)
	}
	return "empty", err
}

func (c *checker) keepState(file string) (string, error) {
	if file == "" {
		return "not asked for", nil
	}
	state, err := os.ReadFile(filepath.Join(c.terraform.Folder, "terraform.tfstate"))
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, state, 0o600)
}

// endToEnd runs the shipped programs against what was applied: messages in,
// texts out, the desired count moved, the wrong message put aside.
func (c *checker) endToEnd(endpoint string) (string, error) {
	if err := harness.BuildPrograms(c.ctx, filepath.Join(c.folder, "bin"), "./worker", "./controller"); err != nil {
		return "", err
	}
	var outputs struct {
		QueueURLs    struct{ Value map[string]string } `json:"queue_urls"`
		PolicySource struct{ Value string }            `json:"policy_source"`
	}
	text, err := c.terraform.Run(c.ctx, "output", "-json")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal([]byte(text), &outputs); err != nil {
		return "", fmt.Errorf("read the outputs: %w", err)
	}
	policy := outputs.PolicySource.Value
	if _, err := source.Open(policy); err != nil {
		policy = c.policy
	}
	result, err := harness.System{
		Endpoint: endpoint, QueueURL: outputs.QueueURLs.Value["sms"], Policy: policy, Folder: c.folder, Messages: 300,
	}.Run(c.ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d texts out (the first after %s), %d dead letter, desired count up to %d, policy from %s",
		result.Texts, result.FirstText.Round(time.Millisecond), result.Dead, result.Desired, policy), result.EndedErrors
}

// upgrade plans this version over the state of an earlier one, without asking
// the stand-in, which forgot it.
func (c *checker) upgrade() (string, error) {
	state, err := os.ReadFile(keptState)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(c.terraform.Folder, "terraform.tfstate"), state, 0o600); err != nil {
		return "", err
	}
	plan, err := c.terraform.Plan(c.ctx, "-refresh=false", "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy)
	if err != nil {
		return "", err
	}
	var lost []error
	var changed []string
	for _, change := range plan.ResourceChanges {
		actions := strings.Join(change.Change.Actions, " ")
		if actions != "no-op" {
			changed = append(changed, change.Address)
		}
		if keep[change.Type] && strings.Contains(actions, "delete") {
			lost = append(lost, fmt.Errorf("%s would be lost (%s)", change.Address, actions))
		}
	}
	return fmt.Sprintf("%v, of %s", plan.Counts(), strings.Join(changed, ", ")), errors.Join(lost...)
}
